"""Equal error rates and bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
