"""From what the judges measured to numbers a pair: pure arithmetic, cheap enough to do again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.metrics.pairs import words

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
