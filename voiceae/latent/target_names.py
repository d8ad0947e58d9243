"""The voice that a conversion is asked for: targets by file or name, led along attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from voiceae.conversion.embedding_files import EmbeddingTable, is_stored
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.io.filesystem import is_file
from voiceae.latent.attributes import move_along
from voiceae.latent.enrollment import profile_of_target

if TYPE_CHECKING:
    from voiceae.conversion.batch import VoiceLoader
    from voiceae.conversion.voice import Voice


def resolve_target(
    voice: Voice, targets: Sequence[str], steps: Sequence[str] = (), bank: Path | None = None
) -> SpeakerProfile:
    """The mean of targets, led along attributes.

    Args:
        voice: the model.
        targets: recordings, stored embeddings or names of the bank, at least one.
        steps: attributes with amounts, as in `gender:+0.5`.
        bank: its file; the default one otherwise.

    Raises:
        VoiceAEError: for a target or an attribute that cannot be used.
    """
    profile = SpeakerProfile.mean([profile_of_target(voice, target, bank) for target in targets])
    return move_along(profile, steps, voice.fingerprint)


def resolved(voice: Voice, targets: Sequence[str], bank: Path | None = None) -> list[str | SpeakerProfile]:
    """Targets for `Voice.stream`, which learns from recordings more than who is heard: those stay as they are.

    Args:
        voice: the model.
        targets: as for `resolve_target`.
        bank: likewise.

    Raises:
        VoiceAEError: for a target that cannot be used.
    """
    return [
        target if Path(target).is_file() else profile_of_target(voice, target, bank) for target in targets
    ]


@contextmanager
def as_files(
    loader: VoiceLoader, targets: Sequence[str], steps: Sequence[str] = (), bank: Path | None = None
) -> Iterator[Sequence[str]]:
    """The same for other processes, which know files only: targets that are files already stay as they are.

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
