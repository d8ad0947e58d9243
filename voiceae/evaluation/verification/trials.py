"""Trials of speaker verification: all pairs of clips, their equal error rate, and which clips go through a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import CorpusError
from voiceae.evaluation.scores import COVERAGE, Array, EqualError, Interval

RESAMPLES = (
    300  # of speakers; each goes through all pairs, and the ends then vary by 4 % of the interval's width
)


class SpeakerTrials:
    """All pairs of clips, by rising cosine of their embeddings.

    Args:
        vectors: (n, S) embeddings of clips.
        speakers: (n,) whose they are.

    Raises:
        CorpusError: when no speaker has two clips, or there is only one.
    """

    def __init__(self, vectors: Array, speakers: Sequence[str]) -> None:
        names, owner = np.unique(np.asarray(speakers), return_inverse=True)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        one, other = np.triu_indices(len(owner), 1)
        cosines = (unit @ unit.T)[one, other]
        order = np.argsort(cosines, kind="stable")
        self.speakers, self.one, self.other = len(names), one[order], other[order]
        self.cosines, self._first, self._second = cosines[order], owner[self.one], owner[self.other]
        self.alike = self._first == self._second
        if not self.alike.any() or self.alike.all():
            raise CorpusError(
                f"{self.speakers} speakers with {len(owner)} clips; give two speakers, one of them with two clips"
            )
        # Scores that are equal are accepted together: only the first of them is a threshold.
        self._starts = np.flatnonzero(np.diff(self.cosines, prepend=-np.inf) > 0)

    def equal_error(self, counts: NDArray[np.int64] | None = None) -> EqualError:
        """Equal error rate as `voiceae.evaluation.scores.equal_error` has it, of speakers that count several times.

        Args:
            counts: (speakers,) how often each is there, in the order of their names; once by default. Copies of one
                speaker are not compared with each other.
        """
        often = np.ones(self.speakers, np.int64) if counts is None else counts
        right = np.where(self.alike, often[self._first], 0)
        wrong = np.where(self.alike, 0, often[self._first] * often[self._second])
        refused = (np.cumsum(right) - right)[self._starts] / right.sum()
        accepted = 1 - (np.cumsum(wrong) - wrong)[self._starts] / wrong.sum()
        best = int(np.argmin(np.abs(refused - accepted)))
        rate = float(refused[best] + accepted[best]) / 2
        return EqualError(rate, float(self.cosines[self._starts[best]]))

    def interval(self, seed: int) -> Interval:
        """Equal error rate with its interval by the bootstrap over speakers."""
        rng = np.random.default_rng(seed)
        drawn = [np.bincount(rng.integers(self.speakers, size=self.speakers)) for _ in range(RESAMPLES)]
        padded = [np.pad(each, (0, self.speakers - len(each))) for each in drawn]
        # Of one speaker alone nothing can be told; it is drawn where there are hardly more than two.
        rates = [self.equal_error(each).rate for each in padded if np.count_nonzero(each) > 1]
        low, high = np.quantile(rates, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        return Interval(self.equal_error().rate, float(low), float(high), self.speakers)


def half_of_each(speakers: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which clips go through the other channel: half of every speaker's, rounded down: (n,) -> (n,)."""
    rng, owner = np.random.default_rng(seed), np.asarray(speakers)
    chosen = np.zeros(len(owner), bool)
    for name in np.unique(owner):
        own = rng.permutation(np.flatnonzero(owner == name))
        chosen[own[: len(own) // 2]] = True
    return chosen
