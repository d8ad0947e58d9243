"""Attribute directions in the speaker space: from a column of labels, with held-out accuracy, to be moved along."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.assets import ASSETS
from voiceae.conversion.arguments import as_number
from voiceae.conversion.embedding_files import require_model
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.errors import CorpusError, EmbeddingError, did_you_mean
from voiceae.io.csvtable import read_table
from voiceae.io.filesystem import atomic_path, is_file, require_new

FORMAT = 1
FOLDS = 5  # the usual number; fewer where a side has fewer speakers
MIN_SPEAKERS = 2  # speakers on either side: one to learn from and one to hold out


Vectors = NDArray[np.float64]
Sides = NDArray[np.bool_]


@dataclass(frozen=True)
class Classes:
    """The two classes of speakers that an attribute leads between.

    Attributes:
        negative: what the side is called that a negative amount leads to.
        positive: the other.
        members: by speaker, whether on the positive side; who is neither is not in it.
    """

    negative: str
    positive: str
    members: Mapping[str, bool]


def read_labels(path: str | Path, column: str, key: str = "speaker") -> dict[str, str]:
    """Read one column of a CSV by speaker; empty cells are left out.

    Args:
        path: the table, with a header.
        column: the one to read.
        key: column of the speakers' names.

    Raises:
        CorpusError: when the table is missing, not text, has no such column, says two things of one speaker, or
            says nothing at all.
    """
    table = read_table(path, (key, column), "a table of speakers")
    rows = [(row.cells[key.lower()], row.cells[column.lower()]) for row in table]
    labels: dict[str, str] = {}
    for speaker, value in rows:
        if speaker and value and labels.setdefault(speaker, value) != value:
            raise CorpusError(f"{path}: {speaker} is both {labels[speaker]} and {value} in {column}")
    if not labels:
        raise CorpusError(f"{path}: says nothing in its column {column}")
    return labels


def two_classes(
    labels: Mapping[str, str], *, at: float | None = None, positive: str | None = None
) -> Classes:
    """Make two classes of a column: its two values, one value against all others, or numbers on either side of one.

    Args:
        labels: value by speaker.
        at: numbers from here on are the positive side.
        positive: the value that a positive amount leads to; the last in the alphabet by default.

    Raises:
        CorpusError: when the column does not make two classes in this way.
    """
    if at is not None:
        return _split(labels, at, positive)
    values = sorted(set(labels.values()))
    if positive is not None and positive not in values:
        raise CorpusError(f"{positive}: no such value in the column; {did_you_mean(positive, values)}")
    if len(values) != 2 and positive is None:
        some = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
        raise CorpusError(
            f"the column has {len(values)} values ({some}), an attribute has two sides; "
            "give --positive VALUE, or --at NUMBER to split numbers"
        )
    positive = positive or values[-1]
    others = [value for value in values if value != positive]
    if not others:
        raise CorpusError(f"everybody is {positive}; an attribute has two sides")
    negative = others[0] if len(others) == 1 else f"not {positive}"
    return Classes(negative, positive, {speaker: value == positive for speaker, value in labels.items()})


def _split(labels: Mapping[str, str], at: float, positive: str | None) -> Classes:
    names = f"below {at:g}", f"{at:g} and above"
    if positive not in (None, *names):
        raise CorpusError(f"{positive}: a split of numbers has the sides {names[0]!r} and {names[1]!r}")
    try:
        upper = {speaker: float(value) >= at for speaker, value in labels.items()}
    except ValueError as error:
        raise CorpusError(f"--at splits numbers, the column has others: {error}") from None
    if len(set(upper.values())) < 2:
        raise CorpusError(f"--at {at:g}: all speakers are on one side of it")
    if positive == names[0]:
        return Classes(names[1], names[0], {speaker: not value for speaker, value in upper.items()})
    return Classes(names[0], names[1], upper)


@dataclass(frozen=True)
class HeldOut:
    """How well a direction classifies speakers that it was not fitted on.

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
        """Project speaker vectors on the direction, 0 being half way between the classes: (n, S) -> (n,)."""
        return (vectors @ self.direction - self.threshold) / (self.direction @ self.direction)

    def move(self, voice: SpeakerProfile, amount: float) -> SpeakerProfile:
        """Move a speaker along the direction: the embedding, with the pitch and mel statistics that go with it.

        Its frames are left behind, unless the amount is 0.

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
        # Embeddings are directions: the network was trained on vectors of unit length only.
        moved = replace(voice, embedding=(vector / length).astype(np.float32))
        # Frames say how the speaker sounds who is moved away from: what the decoder found there would hold the result
        # back, and no direction says how to move them. From the vector alone it goes where it is led.
        moved = replace(moved, timbre=voice.timbre if amount == 0 else None)
        if moved.pitch_centre is not None and self.octaves is not None:
            moved = replace(moved, pitch_centre=moved.pitch_centre + amount * self.octaves)
        statistics = voice.mel_statistics
        if statistics is None:
            return moved
        for bins in (self.mel_mean, self.mel_log_deviation):
            if bins is not None and bins.shape != statistics.mean.shape:
                raise EmbeddingError(
                    f"attribute {self.name}: has {bins.size} mel bins, the voice {statistics.mean.size}"
                )
        if self.mel_mean is None or self.mel_log_deviation is None:
            return moved
        mean = statistics.mean + amount * self.mel_mean
        deviation = statistics.deviation * np.exp(amount * self.mel_log_deviation)
        statistics = replace(statistics, mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))
        return replace(moved, mel_statistics=statistics)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the attribute as JSON.

        Raises:
            OutputError: for an existing file without `force`, or when it cannot be written.
        """
        require_new(Path(path), force)
        plain = {"format": FORMAT, "kind": "attribute", **asdict(self)}
        for key, value in plain.items():
            if isinstance(value, np.ndarray):  # seven digits are what single precision has
                plain[key] = [float(f"{number:.7g}") for number in value]
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path, model: str = "") -> Attribute:
        """Read an attribute that `save` wrote.

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
            for key in ("direction", "mel_mean", "mel_log_deviation"):
                vector = None if plain[key] is None else np.array(plain[key], np.float64)
                if vector is not None and (vector.ndim != 1 or not np.isfinite(vector).all()):
                    raise ValueError(f"its {key} is no vector of finite numbers")
                plain[key] = vector
            plain["held_out"] = HeldOut(**plain["held_out"])
            attribute = cls(**{each.name: plain[each.name] for each in fields(cls)})
        except FileNotFoundError:
            raise EmbeddingError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise EmbeddingError(f"{path}: is not a fitted attribute, or is damaged ({error})") from None
        require_model(path, attribute.model, model)
        return attribute


def fit_attribute(
    name: str, voices: Mapping[str, Sequence[SpeakerProfile]], classes: Classes, model: str, *, seed: int = 0
) -> Attribute:
    """Fit a direction on speakers whose class is known, and cross-validate it.

    Args:
        name: what to call it.
        voices: profiles of each speaker's clips.
        classes: their sides; speakers that are only here or only in `voices` are left out.
        model: fingerprint of the model that made them.
        seed: of the deal into folds.

    Raises:
        EmbeddingError: with fewer than two speakers on a side.
    """
    names = sorted(who for who in voices if who in classes.members)
    profiles = [SpeakerProfile.mean(voices[who]) for who in names]
    sides = np.array([classes.members[who] for who in names], bool)
    counts = {classes.negative: int((~sides).sum()), classes.positive: int(sides.sum())}
    few = [f"{count} {side}" for side, count in counts.items() if count < MIN_SPEAKERS]
    if few:
        raise EmbeddingError(
            f"attribute {name}: {' and '.join(few)} among the speakers of the recordings; it needs {MIN_SPEAKERS} each"
        )
    vectors = np.stack([each.embedding for each in profiles]).astype(np.float64)
    lower, upper = vectors[~sides].mean(0), vectors[sides].mean(0)
    direction = upper - lower
    mean, log_deviation = _statistics_difference(profiles, sides)
    pitches = np.array([np.nan if each.pitch_centre is None else each.pitch_centre for each in profiles])
    above, below = (pitches[np.isfinite(pitches) & side] for side in (sides, ~sides))
    return Attribute(
        name=name,
        negative=classes.negative,
        positive=classes.positive,
        direction=direction,
        threshold=float(direction @ (upper + lower) / 2),  # the point half way between the means
        octaves=float(above.mean() - below.mean()) if len(above) and len(below) else None,
        mel_mean=mean,
        mel_log_deviation=log_deviation,
        held_out=_held_out(vectors, pitches, sides, seed),
        model=model,
    )


def _held_out(vectors: Vectors, pitches: Vectors, sides: Sides, seed: int) -> HeldOut:
    """Balanced accuracy over all folds together; the nearer class mean is the side of the direction's threshold."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import NearestCentroid

    folds = int(min(FOLDS, sides.sum(), (~sides).sum()))
    dealt = StratifiedKFold(folds, shuffle=True, random_state=seed)

    def accuracy(rows: Vectors) -> float:
        predicted = cross_val_predict(NearestCentroid(), rows, sides, cv=dealt)
        return float(balanced_accuracy_score(sides, predicted))

    return HeldOut(
        accuracy=accuracy(vectors),
        pitch_accuracy=accuracy(pitches[:, None]) if np.isfinite(pitches).all() else None,
        negative=int((~sides).sum()),
        positive=int(sides.sum()),
        folds=folds,
    )


def _statistics_difference(
    profiles: Sequence[SpeakerProfile], sides: Sides
) -> tuple[Vectors, Vectors] | tuple[None, None]:
    measured = [(p.mel_statistics, on) for p, on in zip(profiles, sides, strict=True) if p.mel_statistics]
    known = [[each for each, on in measured if on == side] for side in (False, True)]
    if not all(known):
        return None, None
    means = [np.mean(np.stack([c.mean for c in group]), axis=0, dtype=np.float64) for group in known]
    # A bin of a band-limited recording hardly varies; its logarithm would outweigh all others.
    logs = [np.mean([np.log(np.maximum(c.deviation, 1e-3)) for c in group], axis=0) for group in known]
    return np.asarray(means[1] - means[0]), np.asarray(logs[1] - logs[0], np.float64)


def bundled_attributes() -> dict[str, Path]:
    """Attributes that come with the package, by name."""
    suffix = ".attribute.json"
    return {path.name.removesuffix(suffix): path for path in sorted(ASSETS.glob(f"*{suffix}"))}


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
