"""Equal error rates against a count pair by pair, and which clips move."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from voiceae.errors import CorpusError
from voiceae.evaluation.scores import equal_error
from voiceae.evaluation.verification.trials import SpeakerTrials, half_of_each


def brute_force(vectors: np.ndarray, speakers: list[str]) -> float:
    """Both errors at every score, pair by pair."""
    scores = [
        (float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), s == t)
        for (a, s), (b, t) in itertools.combinations(zip(vectors, speakers, strict=True), 2)
    ]
    same, different = ([score for score, alike in scores if alike is kind] for kind in (True, False))
    best = (2.0, 0.0)
    for threshold, _ in sorted(scores):
        refused = sum(score < threshold for score in same) / len(same)
        accepted = sum(score >= threshold for score in different) / len(different)
        best = min(best, (abs(refused - accepted), (refused + accepted) / 2), key=lambda each: each[0])
    return best[1]


@pytest.mark.parametrize("seed", range(4))
def test_the_rate_is_that_of_a_count_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    speakers = [name for name, clips in zip("abcde", (2, 5, 3, 1, 4), strict=True) for _ in range(clips)]
    centres = {name: rng.standard_normal(3) for name in "abcde"}
    vectors = np.array([centres[name] + 0.8 * rng.standard_normal(3) for name in speakers])
    trials = SpeakerTrials(vectors, speakers)
    found = trials.equal_error()
    assert found.rate == pytest.approx(brute_force(vectors, speakers)) and 0 < found.rate < 0.5
    interval = trials.interval(0)
    assert interval.low <= interval.mean <= interval.high and interval.n == 5 and interval.low < interval.high


def test_cosines_that_are_equal_are_accepted_together() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]], float)
    speakers = ["a", "a", "a", "b", "b", "b"]
    assert SpeakerTrials(vectors, speakers).equal_error().rate == pytest.approx(
        brute_force(vectors, speakers)
    )


def test_a_speaker_drawn_twice_counts_twice_but_is_not_compared_with_the_copy() -> None:
    rng = np.random.default_rng(5)
    speakers, vectors = ["a", "a", "a", "b", "b", "c", "c"], rng.standard_normal((7, 4))
    counts = np.array([2, 1, 0])  # in the order of the names
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(i, j) for i, j in itertools.combinations(range(5), 2)]
    same = [unit[i] @ unit[j] for i, j in pairs if speakers[i] == speakers[j]]
    repeats = [2 if speakers[i] == "a" else 1 for i, j in pairs if speakers[i] == speakers[j]]
    different = [unit[i] @ unit[j] for i, j in pairs if speakers[i] != speakers[j]]
    expected = equal_error(np.repeat(same, repeats), np.repeat(different, 2))
    assert SpeakerTrials(vectors, speakers).equal_error(counts).rate == pytest.approx(expected.rate)


def test_one_speaker_or_one_clip_each_is_refused() -> None:
    for speakers in (["a", "a"], ["a", "b"]):
        with pytest.raises(CorpusError, match="give two speakers"):
            SpeakerTrials(np.eye(2), speakers)


def test_half_of_every_speakers_clips_move() -> None:
    speakers = ["a"] * 6 + ["b"] * 5 + ["c"]
    moved = half_of_each(speakers, 0)
    assert [int(moved[np.array(speakers) == name].sum()) for name in "abc"] == [3, 2, 0]
    assert any((half_of_each(speakers, seed) != moved).any() for seed in range(1, 4)), (
        "drawn, not the first half"
    )
