"""Equal error rates by closed form, bootstrap intervals by the normal law."""

from __future__ import annotations

import numpy as np
import pytest

from voiceae.evaluation.scores import bootstrap, equal_error


def test_equal_error_of_scores_made_by_hand() -> None:
    # One of four right ones below, and one of four wrong ones above, every threshold between .4 and .5.
    found = equal_error([0.4, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.5])
    assert found.rate == pytest.approx(0.25)
    assert 0.4 < found.threshold <= 0.6


def test_equal_error_of_separate_and_of_swapped_scores() -> None:
    assert equal_error([0.8, 0.9], [0.1, 0.2]).rate == 0.0
    assert equal_error([0.1, 0.2], [0.8, 0.9]).rate == 1.0


def test_equal_error_of_two_normal_laws() -> None:
    rng = np.random.default_rng(0)
    same, different = rng.normal(2, 1, 40000), rng.normal(0, 1, 60000)
    found = equal_error(same, different)
    assert found.rate == pytest.approx(0.158655, abs=0.004)  # Phi(-1), half-way between the means
    assert found.threshold == pytest.approx(1.0, abs=0.03)


def test_equal_error_needs_both() -> None:
    with pytest.raises(ValueError, match="0 scores of one speaker"):
        equal_error([], [0.5])


def test_bootstrap_is_as_wide_as_the_normal_law_says() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = bootstrap(values, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert found.n == 400


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = [bootstrap(rng.normal(0, 1, 60), seed=i, resamples=400) for i in range(200)]
    assert 0.88 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.99


def test_bootstrap_is_seeded() -> None:
    values = np.arange(10.0)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_bootstrap_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="need one or more"):
        bootstrap(values, seed=0)
