"""Figures from what scorers measured: similarity, error rates, pitch, intervals, and what natural speech reaches."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from voiceae.evaluation.pairs import Clip, normalise_text

Array = NDArray[np.float64]

RESAMPLES = 2000  # an end of the interval then varies by 1.5 % of its width (by the normal law)
COVERAGE = 0.95  # of every interval that is reported
MIN_VOICED_FRAMES = 20  # 0.2 s of speech: fewer make a correlation that is mostly noise
MAX_CLIPS_PER_SPEAKER = 40  # 780 pairs of one speaker; the number of pairs grows with the square
ALL = "all"

PROTOCOL = (
    f"Natural rows: every pair of clips of a subset, at most {MAX_CLIPS_PER_SPEAKER} clips a speaker, seeded. "
    "A subset is the speakers whose names begin with the same letters, all where no two do. "
    "A conversion is accepted at the threshold of its target's subset."
)


@dataclass(frozen=True)
class EqualError:
    """Equal error rate of a verifier: where it refuses as many of the right speaker as it accepts of others.

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
    """Mean and 95 % percentile interval by the bootstrap (Efron 1979): (n,) ->.

    Give differences for a paired interval: pairs, not their members, are what is drawn again.

    Args:
        values: one number a pair; those that are not finite must have been left out.
        seed: of the resampling.
        resamples: how often to draw.

    Raises:
        ValueError: for no values, or values that are not finite.
    """
    from scipy import stats

    array: Array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        odd = int((~np.isfinite(array)).sum())
        raise ValueError(f"{array.shape} values, {odd} of them not finite; need one or more")
    mean = float(array.mean())
    if len(array) == 1:  # scipy refuses it; every resample is the value itself
        return Interval(mean, mean, mean, 1)
    rng = np.random.default_rng(seed)
    found = stats.bootstrap(
        (array,), np.mean, n_resamples=resamples, confidence_level=COVERAGE, method="percentile", rng=rng
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), len(array))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine of two embeddings: (S,), (S,) ->."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def character_error_rate(reference: str, hypothesis: str) -> float:
    """Edits a character of the reference; case and punctuation do not count. Above 1 for a far longer hypothesis.

    Raises:
        ValueError: for an empty reference.
    """
    import jiwer

    return float(jiwer.cer(_require_words(reference), normalise_text(hypothesis)))


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Edits a word of the reference; case and punctuation do not count. Above 1 for a far longer hypothesis.

    Raises:
        ValueError: for an empty reference.
    """
    import jiwer

    return float(jiwer.wer(_require_words(reference), normalise_text(hypothesis)))


def _require_words(reference: str) -> str:
    if not normalise_text(reference):
        raise ValueError("an empty reference has no error rate")
    return normalise_text(reference)


def pitch_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Correlation of log F0 over frames voiced in both: (T,), (T',) ->, None for fewer than 20."""
    n = min(len(one), len(other))
    a, b = np.asarray(one[:n], np.float64), np.asarray(other[:n], np.float64)
    voiced = (a > 0) & (b > 0)
    if voiced.sum() < MIN_VOICED_FRAMES:
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
    row: Mapping[str, Any],
    clips: Mapping[str, Mapping[str, Any]],
    threshold: float,
    references: Sequence[Mapping[str, Any]] = (),
) -> dict[str, float]:
    """Similarity of a wave to both speakers.

    Args:
        row: what a speaker encoder measured of the wave.
        clips: what it measured of the pair's natural clips: `scored`, `source_other`, `source`.
        threshold: natural equal-error threshold of the target's set.
        references: what it measured of the very clips that the model was given, where it was given some.
    """
    similar = {name: cosine(row["embedding"], clip["embedding"]) for name, clip in clips.items()}
    given = [cosine(row["embedding"], clip["embedding"]) for clip in references]
    return {
        "sim_target": similar["scored"],
        **({"sim_reference": float(np.mean(given))} if given else {}),
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
    if normalise_text(text):
        scores["cer_text"] = character_error_rate(text or "", transcript)
        scores["wer_text"] = word_error_rate(text or "", transcript)
    return scores


def pitch_scores(row: Sequence[float], source: Sequence[float], target: Sequence[float]) -> dict[str, float]:
    """Correlation of the F0 contour with the source's, and distance of its mean from the target's."""
    correlation = pitch_correlation(row, source)
    scores = {"f0_offset_semitones": pitch_offset_semitones(row, target)}
    return scores if correlation is None else {"f0_correlation": correlation, **scores}


@dataclass(frozen=True)
class NaturalScores:
    """Speaker similarities of natural speech, and the thresholds that follow from them.

    Attributes:
        subsets: figures by subset; "all" compares within subsets only, as a verifier would be tested on each.
        same: cosines of pairs of clips of one speaker, all subsets.
    """

    subsets: dict[str, dict[str, float]]
    same: Array

    def threshold(self, speaker: str) -> float:
        """Equal-error threshold of the set that a speaker is in; of all sets where that one has none."""
        return self.subsets.get(subset_of(speaker, self.subsets), self.subsets[ALL])["threshold"]


def leading_letters(speaker: str) -> str:
    """Letters that a speaker's name begins with, which name a corpus's part: "so0024" -> "so"."""
    match = re.match(r"[^\W\d_]+", speaker)
    return match.group() if match else ""


def subset_of(speaker: str, subsets: Iterable[str]) -> str:
    """The subset that a speaker is in: the shortest whose letters the name begins with, else the name's own letters.

    So names whose number is hexadecimal stay together: "cva13f" is in "cv" where "cv1656" is there too.

    Args:
        speaker: name of the speaker.
        subsets: leading letters of other speakers.
    """
    letters = leading_letters(speaker)
    return min((each for each in subsets if each and letters.startswith(each)), key=len, default=letters)


def draw_natural_clips(groups: Mapping[str, Sequence[Clip]], seed: int) -> list[Clip]:
    """Natural clips to compare with each other, at most `MAX_CLIPS_PER_SPEAKER` of each speaker."""
    rng = np.random.default_rng(seed)
    return [
        clips[index]
        for clips in groups.values()
        for index in sorted(rng.permutation(len(clips))[:MAX_CLIPS_PER_SPEAKER])
    ]


def score_natural_speech(
    clips: Sequence[Clip], embeddings: Sequence[Sequence[float]]
) -> NaturalScores | None:
    """Similarity within and between speakers, subset by subset: n clips, (n, S) ->.

    None where no subset has two speakers, one of them with two clips.
    """
    if not clips:
        return None
    members: dict[str, list[int]] = defaultdict(list)
    speakers: dict[str, set[str]] = defaultdict(set)
    letters = {leading_letters(clip.speaker) for clip in clips}
    for index, clip in enumerate(clips):
        name = subset_of(clip.speaker, letters)
        members[name].append(index)
        speakers[name].add(clip.speaker)
    if all(len(names) < 2 for names in speakers.values()):  # names like alice and bob say nothing of subsets
        members = defaultdict(list, {ALL: list(range(len(clips)))})
    usable: dict[str, tuple[Array, Array]] = {}
    for name, own in members.items():
        # Cosines of all pairs of clips of one speaker, and of two.
        vectors = np.asarray([embeddings[i] for i in own])
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        upper = np.triu_indices(len(own), 1)
        owners = np.array([clips[i].speaker for i in own])
        alike, cosines = (owners[:, None] == owners)[upper], (unit @ unit.T)[upper]
        if alike.any() and not alike.all():
            usable[name] = cosines[alike], cosines[~alike]
    if not usable:
        return None
    same, different = (np.concatenate([pair[side] for pair in usable.values()]) for side in (0, 1))
    counts = {name: len(members[name]) for name in usable}
    subsets = {name: _figures(*pair, counts[name]) for name, pair in sorted(usable.items())}
    return NaturalScores({**subsets, ALL: _figures(same, different, sum(counts.values()))}, same)


def _figures(same: Array, different: Array, clips: int) -> dict[str, float]:
    error = equal_error(same, different)
    return {
        "same": float(same.mean()),
        "different": float(different.mean()),
        "eer": error.rate,
        "threshold": error.threshold,
        "clips": clips,
        "pairs_same": len(same),
        "pairs_different": len(different),
    }
