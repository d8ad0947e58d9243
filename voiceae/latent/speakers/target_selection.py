"""Targets as the command line names them: recordings or enrolled speakers, with weights, moved along attributes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from voiceae.conversion.batch import VoiceLoader
from voiceae.conversion.embedding_files import EmbeddingTable, is_stored
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import EmbeddingError
from voiceae.io.filesystem import is_file
from voiceae.latent.speakers.attributes import Attribute, find_attribute
from voiceae.latent.speakers.enrollment import profile_of_target


@dataclass(frozen=True)
class WeightedName:
    """A target or an attribute by name, with its weight or amount.

    Attributes:
        name: what stands before the last colon.
        amount: the number behind it; None where there is none.
    """

    name: str
    amount: float | None


def parse_weighted_name(text: str) -> WeightedName:
    """Split `NAME:NUMBER`; a text without a number is all name, and `FILE.npz:NAME` needs a second colon for one.

    Raises:
        EmbeddingError: for a number that is not finite, or something behind the colon that is none.
    """
    name, colon, number = text.rpartition(":")
    stored = name.lower().endswith(".npz")  # what follows is the speaker, whatever it looks like
    if not colon or stored or is_file(text):
        return WeightedName(text, None)
    try:
        amount = float(number)
    except ValueError:
        if ".npz:" in text.lower() and not number[:1].isdigit():
            return WeightedName(text, None)
        raise EmbeddingError(
            f"{text}: {number!r} is no number; write a name, a colon and a number, as in bob.wav:0.7"
        ) from None
    if not math.isfinite(amount):
        raise EmbeddingError(f"{text}: {number} is not a finite number; write one, as in bob.wav:0.7")
    return WeightedName(name, amount)


def normalised_weights(shares: Sequence[WeightedName]) -> list[float]:
    """Weights that sum to one, of voices that have a weight each, or none of them one.

    Raises:
        EmbeddingError: when only some have a weight, or the weights do not sum to more than zero.
    """
    given = [share.amount for share in shares if share.amount is not None]
    if not given:
        return [1 / len(shares)] * len(shares)
    if len(given) < len(shares):
        bare = next(share.name for share in shares if share.amount is None)
        raise EmbeddingError(f"{bare}: has no weight, others have; give every speaker one, or none of them")
    total = sum(given)
    # Negative weights lead away from a speaker, so a sum may vanish though no weight does.
    if not total > 1e-6:
        said = " + ".join(f"{weight:g}" for weight in given)
        raise EmbeddingError(f"the weights sum to {total:g} ({said}); they must sum to more than zero")
    return [weight / total for weight in given]


def move_along_attributes(voice: SpeakerProfile, steps: Sequence[str], model: str) -> SpeakerProfile:
    """Move a speaker along attributes as the command line writes them: `gender:+0.5`, `mine.json:-1`.

    Args:
        voice: where it begins.
        steps: attributes with amounts.
        model: fingerprint of the model whose voice it is.

    Raises:
        EmbeddingError: for an attribute that is unknown or of another model, or without an amount.
    """
    for step in steps:
        share = parse_weighted_name(step)
        if share.amount is None:
            raise EmbeddingError(f"{step}: has no amount; write one behind a colon, as in gender:+0.5")
        voice = Attribute.read(find_attribute(share.name), model).move(voice, share.amount)
    return voice


def resolve_target(
    voice: Voice, targets: Sequence[str], steps: Sequence[str] = (), bank: Path | None = None
) -> SpeakerProfile:
    """Resolve targets to the profile of their mean, moved along attributes.

    Args:
        voice: the model.
        targets: recordings, stored embeddings or names of the bank, at least one.
        steps: attributes with amounts, as in `gender:+0.5`.
        bank: its file; the default one otherwise.

    Raises:
        VoiceAEError: for a target or an attribute that cannot be used.
    """
    profile = SpeakerProfile.mean([profile_of_target(voice, target, bank) for target in targets])
    return move_along_attributes(profile, steps, voice.fingerprint)


def resolve_stream_targets(
    voice: Voice, targets: Sequence[str], bank: Path | None = None
) -> list[str | SpeakerProfile]:
    """Targets for `Voice.stream`, which takes more from recordings than a profile: those stay as they are.

    Args:
        voice: the model.
        targets: as for `resolve_target`.
        bank: likewise.

    Raises:
        VoiceAEError: for a target that cannot be used.
    """
    return [each if Path(each).is_file() else profile_of_target(voice, each, bank) for each in targets]


@contextmanager
def targets_as_files(
    loader: VoiceLoader, targets: Sequence[str], steps: Sequence[str] = (), bank: Path | None = None
) -> Iterator[Sequence[str]]:
    """Resolve targets to files, for other processes: those that are files already stay as they are.

    Args:
        loader: what the model is loaded from.
        targets: as for `resolve_target`.
        steps: likewise.
        bank: likewise.

    Raises:
        VoiceAEError: for a target or an attribute that cannot be used.
    """
    if not steps and all(is_stored(target) or is_file(target) for target in targets):
        yield targets
        return
    voice = loader.load()
    profile = resolve_target(voice, targets, steps, bank)
    with TemporaryDirectory(prefix="voiceae-") as folder:
        path = Path(folder) / "target.npz"
        EmbeddingTable.from_profiles({"target": profile}, {"target": "target"}, voice.fingerprint).save(path)
        yield (f"{path}:target",)
