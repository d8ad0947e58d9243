"""Directions among voices: the difference of two classes' means, how well it tells them apart, and moving along it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voiceae.assets import ASSETS
from voiceae.conversion.arguments import as_number
from voiceae.conversion.embedding_files import require_model
from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.errors import EmbeddingError, did_you_mean
from voiceae.io.filesystem import atomic_path, is_file, require_new
from voiceae.latent.labels import Classes

FORMAT = 1
FOLDS = 5
FEWEST = 2  # speakers on either side: one to learn from and one to hold out
BUNDLED = ASSETS

Vectors = NDArray[np.float64]
Known: TypeAlias = tuple[Vectors, NDArray[np.bool_]]
"""Speaker vectors (n, S), and on which side each is, (n,)."""


@dataclass(frozen=True)
class HeldOut:
    """How often the side of speakers is told that the direction was not fitted on.

    Attributes:
        accuracy: mean of the two sides' accuracies; chance is .5.
        pitch_accuracy: the same from the median pitch alone; None where no pitch is known.
        negative: speakers on the negative side.
        positive: speakers on the positive side.
        folds: into which all speakers were dealt, each held out once.
    """

    accuracy: float
    pitch_accuracy: float | None
    negative: int
    positive: int
    folds: int


@dataclass(frozen=True)
class Attribute:
    """A direction among a model's voices; an amount of 1 leads from the mean of one class to that of the other.

    Attributes:
        name: what to call it.
        negative: what a negative amount leads to.
        positive: what a positive one leads to.
        direction: (S,) difference of the classes' mean speaker vectors.
        threshold: of the projection on the direction, half way between the means.
        octaves: difference of their median pitches; None where not known.
        mel_mean: (M,) difference of their mel statistics' means; None likewise.
        mel_log_deviation: (M,) of the logarithms of their deviations.
        held_out: how well it tells the classes apart.
        model: fingerprint of the model whose voices these are.
    """

    name: str
    negative: str
    positive: str
    direction: Vectors
    threshold: float
    octaves: float | None
    mel_mean: Vectors | None
    mel_log_deviation: Vectors | None
    held_out: HeldOut
    model: str

    def score(self, vectors: NDArray[np.floating[Any]]) -> Vectors:
        """How far on the positive side speaker vectors are, 0 being half way: (n, S) -> (n,)."""
        scored: Vectors = (vectors @ self.direction - self.threshold) / (self.direction @ self.direction)
        return scored

    def move(self, voice: SpeakerProfile, amount: float) -> SpeakerProfile:
        """Lead a voice along the direction: its vector, and the pitch and colour that go with it.

        Args:
            voice: with as many numbers as the direction.
            amount: 1 is the distance between the classes' means.

        Raises:
            ConfigError: for an amount that is no finite number.
            EmbeddingError: when the vector has another size.
        """
        amount = as_number(amount, f"attribute {self.name}: amount")
        if voice.embedding.shape != self.direction.shape:
            raise EmbeddingError(
                f"attribute {self.name}: has {len(self.direction)} numbers, the voice {len(voice.embedding)}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            vector = voice.embedding + amount * self.direction
            length = np.linalg.norm(vector)
        if not (np.isfinite(length) and length > 1e-6):
            raise EmbeddingError(f"attribute {self.name}: nothing is left of the voice at {amount:+g}")
        moved = replace(voice, embedding=(vector / length).astype(np.float32))
        if moved.pitch_centre is not None and self.octaves is not None:
            moved = replace(moved, pitch_centre=moved.pitch_centre + amount * self.octaves)
        for bins in (self.mel_mean, self.mel_log_deviation):
            if (
                bins is not None
                and voice.mel_statistics is not None
                and bins.shape != voice.mel_statistics.mean.shape
            ):
                raise EmbeddingError(
                    f"attribute {self.name}: has {bins.size} mel bins, the voice {voice.mel_statistics.mean.size}"
                )
        return replace(moved, mel_statistics=self._moved_statistics(voice.mel_statistics, amount))

    def _moved_statistics(self, colour: MelStatistics | None, amount: float) -> MelStatistics | None:
        if colour is None or self.mel_mean is None or self.mel_log_deviation is None:
            return colour
        return replace(
            colour,
            mean=(colour.mean + amount * self.mel_mean).astype(np.float32),
            deviation=(colour.deviation * np.exp(amount * self.mel_log_deviation)).astype(np.float32),
        )

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write as JSON.

        Raises:
            OutputError: for an existing file without `force`, or when it cannot be written.
        """
        require_new(Path(path), force)
        plain = {"format": FORMAT, "kind": "attribute", **asdict(self)}
        plain |= {key: _rounded(value) for key, value in plain.items() if isinstance(value, np.ndarray)}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path, model: str = "") -> Attribute:
        """Read what `save` wrote.

        Args:
            path: the file.
            model: fingerprint that it must carry.

        Raises:
            EmbeddingError: when it is missing, damaged, no attribute, or of another model.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
            if plain["kind"] != "attribute" or plain["format"] > FORMAT:
                raise ValueError("it is of another kind, or from a newer version")
            attribute = cls(**{each.name: _parsed(each.name, plain[each.name]) for each in fields(cls)})
        except FileNotFoundError:
            raise EmbeddingError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise EmbeddingError(f"{path}: is not a fitted attribute, or is damaged ({error})") from None
        require_model(path, attribute.model, model)
        return attribute


def fit_attribute(
    name: str, voices: Mapping[str, Sequence[SpeakerProfile]], classes: Classes, model: str, *, seed: int = 0
) -> Attribute:
    """Fit a direction on speakers whose side is known, and try it on those held out in turn.

    Args:
        name: what to call it.
        voices: what was heard of each speaker's clips.
        classes: their sides; speakers that are only here or only in `voices` are left out.
        model: fingerprint of the model that heard them.
        seed: of the deal into folds.

    Raises:
        EmbeddingError: with fewer than two speakers on a side.
    """
    means = {
        who: SpeakerProfile.mean(clips) for who, clips in sorted(voices.items()) if who in classes.members
    }
    sides = np.array([classes.members[who] for who in means], bool)
    counts = {classes.negative: int((~sides).sum()), classes.positive: int(sides.sum())}
    few = [f"{count} {side}" for side, count in counts.items() if count < FEWEST]
    if few:
        raise EmbeddingError(
            f"attribute {name}: {' and '.join(few)} among the speakers that were heard; it needs {FEWEST} each"
        )
    profile = list(means.values())
    vectors = np.stack([each.embedding for each in profile]).astype(np.float64)
    direction, threshold = _direction(vectors, sides)
    mean, log_deviation = _statistics_difference(profile, sides)
    return Attribute(
        name=name,
        negative=classes.negative,
        positive=classes.positive,
        direction=direction,
        threshold=threshold,
        octaves=_pitch_difference(profile, sides),
        mel_mean=mean,
        mel_log_deviation=log_deviation,
        held_out=_held_out(profile, vectors, sides, np.random.default_rng(seed)),
        model=model,
    )


def told_apart(fitted: Known, held: Known) -> float:
    """Balanced accuracy of a direction fitted on some speakers, on others."""
    direction, threshold = _direction(*fitted)
    told = held[0] @ direction > threshold
    return float(np.mean([(told == side)[held[1] == side].mean() for side in (False, True)]))


def _direction(vectors: Vectors, sides: NDArray[np.bool_]) -> tuple[Vectors, float]:
    """Difference of means, and the projection of the point half way."""
    negative, positive = vectors[~sides].mean(0), vectors[sides].mean(0)
    direction = positive - negative
    return direction, float(direction @ (positive + negative) / 2)


def _held_out(
    profile: Sequence[SpeakerProfile], vectors: Vectors, sides: NDArray[np.bool_], rng: np.random.Generator
) -> HeldOut:
    folds = int(min(FOLDS, sides.sum(), (~sides).sum()))
    dealt = _deal(sides, folds, rng)
    pitches = np.array([[np.nan if each.pitch_centre is None else each.pitch_centre] for each in profile])
    return HeldOut(
        accuracy=_cross_validated(vectors, sides, dealt),
        pitch_accuracy=_cross_validated(pitches, sides, dealt) if np.isfinite(pitches).all() else None,
        negative=int((~sides).sum()),
        positive=int(sides.sum()),
        folds=folds,
    )


def _deal(sides: NDArray[np.bool_], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of every speaker, each side spread evenly: (n,) -> (n,)."""
    dealt = np.zeros(len(sides), np.int64)
    for side in (False, True):
        members = rng.permutation(np.flatnonzero(sides == side))
        dealt[members] = np.arange(len(members)) % folds
    return dealt


def _cross_validated(vectors: Vectors, sides: NDArray[np.bool_], dealt: NDArray[np.int64]) -> float:
    """Balanced accuracy over all folds together, each told by a direction that has not seen it."""
    told = np.zeros(len(sides), bool)
    for fold in range(dealt.max() + 1):
        direction, threshold = _direction(vectors[dealt != fold], sides[dealt != fold])
        told[dealt == fold] = vectors[dealt == fold] @ direction > threshold
    return float(np.mean([(told == sides)[sides == side].mean() for side in (False, True)]))


def _pitch_difference(profile: Sequence[SpeakerProfile], sides: NDArray[np.bool_]) -> float | None:
    pitches = np.array([np.nan if each.pitch_centre is None else each.pitch_centre for each in profile])
    known = np.isfinite(pitches)
    if not (known & sides).any() or not (known & ~sides).any():
        return None
    return float(pitches[known & sides].mean() - pitches[known & ~sides].mean())


def _statistics_difference(
    profile: Sequence[SpeakerProfile], sides: NDArray[np.bool_]
) -> tuple[Vectors, Vectors] | tuple[None, None]:
    groups = [
        [each.mel_statistics for each, on in zip(profile, sides, strict=True) if on == side]
        for side in (False, True)
    ]
    known = [[colour for colour in group if colour is not None] for group in groups]
    if not all(known):
        return None, None
    means = [np.mean(np.stack([c.mean for c in group]), axis=0, dtype=np.float64) for group in known]
    logs = [np.mean([np.log(np.maximum(c.deviation, 1e-3)) for c in group], axis=0) for group in known]
    return np.asarray(means[1] - means[0]), np.asarray(logs[1] - logs[0], np.float64)


def _rounded(values: Vectors) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _parsed(name: str, value: Any) -> Any:
    if name in ("direction", "mel_mean", "mel_log_deviation") and value is not None:
        vector = np.array(value, np.float64)
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise ValueError(f"its {name} is no vector of finite numbers")
        return vector
    return HeldOut(**value) if name == "held_out" else value


def bundled_attributes() -> dict[str, Path]:
    """Attributes that come with the package, by name."""
    return {
        path.name.removesuffix(".attribute.json"): path for path in sorted(BUNDLED.glob("*.attribute.json"))
    }


def find_attribute(name_or_path: str) -> Path:
    """Path of an attribute, by the file's path or by bundled name.

    Raises:
        EmbeddingError: when it is neither.
    """
    path = Path(name_or_path)
    if is_file(path):
        return path
    ours = bundled_attributes()
    if name_or_path in ours:
        return ours[name_or_path]
    raise EmbeddingError(
        f"{name_or_path}: no such attribute; {did_you_mean(name_or_path, ours)}"
        "; fit one with voiceae attribute fit, and give its path"
    )


def move_along(voice: SpeakerProfile, steps: Sequence[str], model: str) -> SpeakerProfile:
    """Lead a voice along attributes as the command line writes them: `gender:+0.5`, `mine.json:-1`.

    Args:
        voice: where it begins.
        steps: attributes with amounts.
        model: fingerprint of the model whose voice it is.

    Raises:
        EmbeddingError: for an attribute that is unknown or of another model, or without an amount.
    """
    from voiceae.latent.weighted_names import parse_weighted_name

    for step in steps:
        share = parse_weighted_name(step)
        if share.amount is None:
            raise EmbeddingError(f"{step}: has no amount; write one behind a colon, as in gender:+0.5")
        voice = Attribute.read(find_attribute(share.name), model).move(voice, share.amount)
    return voice
