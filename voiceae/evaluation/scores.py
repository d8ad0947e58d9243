"""From what scorers measured to numbers a pair, error rates and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from voiceae.evaluation.pairs import words

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True)
class EqualError:
    """Where a verifier refuses as many of the right speaker as it accepts of the wrong one.

    Attributes:
        rate: share of both errors, 0 to 1.
        threshold: scores at or above it are accepted.
    """

    rate: float
    threshold: float


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval.

    Attributes:
        mean: of the values that there were.
        low: lower end of the interval.
        high: upper end of the interval.
        n: number of values.
    """

    mean: float
    low: float
    high: float
    n: int


def equal_error(same: ArrayLike, different: ArrayLike) -> EqualError:
    """Equal error rate of scores, higher meaning more alike: (n,), (m,) ->.

    Every score is tried as the threshold; where the errors cross between two scores, the rate is their mean.

    Args:
        same: scores of pairs of one speaker.
        different: scores of pairs of two speakers.

    Raises:
        ValueError: when either is empty.
    """
    right, wrong = np.sort(np.asarray(same, np.float64)), np.sort(np.asarray(different, np.float64))
    if not len(right) or not len(wrong):
        raise ValueError(f"{len(right)} scores of one speaker and {len(wrong)} of two; need some of both")
    thresholds = np.unique(np.concatenate([right, wrong]))
    refused = np.searchsorted(right, thresholds, side="left") / len(right)
    accepted = 1 - np.searchsorted(wrong, thresholds, side="left") / len(wrong)
    best = int(np.argmin(np.abs(refused - accepted)))
    return EqualError(float(refused[best] + accepted[best]) / 2, float(thresholds[best]))


def bootstrap(values: ArrayLike, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Mean and percentile interval of 95 %: (n,) ->.

    Give differences for a paired interval: pairs, not their members, are what is drawn again.

    Args:
        values: one number a pair; those that are not finite must have been left out.
        seed: of the resampling.
        resamples: how often to draw.

    Raises:
        ValueError: for no values, or values that are not finite.
    """
    array: NDArray[np.float64] = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(
            f"{array.shape} values, {int((~np.isfinite(array)).sum())} of them not finite; need one or more"
        )
    drawn = np.random.default_rng(seed).integers(0, len(array), (resamples, len(array)))
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(array[drawn].mean(axis=1), [tail, 100 - tail])
    return Interval(float(array.mean()), float(low), float(high), len(array))


Array = NDArray[np.float64]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine of two embeddings: (S,), (S,) ->."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def character_error_rate(said: str, heard: str) -> float:
    """Edits a character of `said`; case and punctuation do not count. Above 1 when `heard` is much longer.

    Raises:
        ValueError: when nothing was said.
    """
    import jiwer

    return float(jiwer.cer(_require(said), words(heard)))


def word_error_rate(said: str, heard: str) -> float:
    """Edits a word of `said`; case and punctuation do not count. Above 1 when `heard` is much longer.

    Raises:
        ValueError: when nothing was said.
    """
    import jiwer

    return float(jiwer.wer(_require(said), words(heard)))


def _require(said: str) -> str:
    if not words(said):
        raise ValueError("an empty reference has no error rate")
    return words(said)


def pitch_correlation(one: Sequence[float], other: Sequence[float], least_frames: int = 20) -> float | None:
    """Correlation of log F0 over frames voiced in both: (T,), (T',) ->, None for fewer."""
    n = min(len(one), len(other))
    a, b = np.asarray(one[:n], np.float64), np.asarray(other[:n], np.float64)
    voiced = (a > 0) & (b > 0)
    if voiced.sum() < least_frames:
        return None
    a, b = np.log(a[voiced]), np.log(b[voiced])
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-9 else None


def pitch_offset_semitones(one: Sequence[float], other: Sequence[float]) -> float:
    """Distance of the mean log F0 of voiced frames: (T,), (T',) -> semitones, never negative."""
    means = [float(np.mean(np.log2([value for value in each if value > 0]))) for each in (one, other)]
    return 12 * abs(means[0] - means[1])


def mel_cepstral_distortion(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    """Mean distance along the best time alignment: (T, C), (T', C) -> dB.

    10 / ln 10 * sqrt(2 sum d^2), Kubichek 1993; dynamic time warping minimises the same distance.
    """
    import librosa

    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    distances = np.sqrt(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0))
    _, path = librosa.sequence.dtw(C=distances)
    return float(10 / math.log(10) * math.sqrt(2) * distances[path[:, 0], path[:, 1]].mean())


def speaker_scores(
    row: Mapping[str, Any], clips: Mapping[str, Mapping[str, Any]], threshold: float
) -> dict[str, float]:
    """Similarity of a wave to both voices.

    Args:
        row: what the speaker judge measured of the wave.
        clips: what it measured of the pair's natural clips: `scored`, `source_other`, `source`.
        threshold: natural equal-error threshold of the target's set.
    """
    similar = {name: cosine(row["embedding"], clip["embedding"]) for name, clip in clips.items()}
    return {
        "sim_target": similar["scored"],
        "sim_source": similar["source_other"],
        "sim_source_clip": similar["source"],
        "accepted": float(similar["scored"] >= threshold),
        "nearer_target": float(similar["scored"] > similar["source_other"]),
        "nearer_target_than_clip": float(similar["scored"] > similar["source"]),
    }


def content_scores(transcript: str, source_transcript: str, text: str | None) -> dict[str, float]:
    """Error rates against the recogniser's own transcript of the source and, where there is one, the text."""
    scores = {
        "cer_recogniser": character_error_rate(source_transcript, transcript),
        "wer_recogniser": word_error_rate(source_transcript, transcript),
    }
    if words(text):
        scores["cer_text"] = character_error_rate(text or "", transcript)
        scores["wer_text"] = word_error_rate(text or "", transcript)
    return scores


def pitch_scores(row: Sequence[float], source: Sequence[float], target: Sequence[float]) -> dict[str, float]:
    """Melody kept from the source, and how far the mean is from the target's."""
    correlation = pitch_correlation(row, source)
    scores = {"f0_offset_semitones": pitch_offset_semitones(row, target)}
    return scores if correlation is None else {"f0_correlation": correlation, **scores}
