from __future__ import annotations

import numpy as np
import pytest
import torch

from voiceae.latent.interpolation import Alignment, align, interpolate_pitch, sample_at


def test_a_stretched_copy_is_found_again() -> None:
    torch.manual_seed(0)
    units = torch.randn(16, 20)
    twice = units.repeat_interleave(2, dim=1)
    found = align(units, twice)
    assert found.cost == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(found.first, found.second // 2)
    assert (found.first[0], found.second[0], found.first[-1], found.second[-1]) == (0, 0, 19, 39)


def test_no_path_is_cheaper() -> None:
    """Against every monotone path of a small case."""
    torch.manual_seed(3)
    first, second = torch.randn(4, 5), torch.randn(4, 4)
    cosine = torch.nn.functional.cosine_similarity(first[:, :, None], second[:, None], dim=0)
    cost = (1 - cosine).double().numpy()

    def cheapest(row: int, column: int) -> float:
        before = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        rest = [cheapest(*step) for step in before if min(step) >= 0]
        return float(cost[row, column]) + (min(rest) if rest else 0.0)

    found = align(first, second)
    assert found.cost * len(found.first) == pytest.approx(cheapest(4, 3))
    assert cost[found.first, found.second].sum() == pytest.approx(cheapest(4, 3))
    steps = np.stack([np.diff(found.first), np.diff(found.second)])
    assert set(steps.ravel().tolist()) <= {0, 1} and steps.max(0).min() == 1


def test_at_the_ends_every_frame_is_its_own() -> None:
    alignment = Alignment(np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 2, 2]), 0.0)
    for share, side, frames, rate in ((0.0, 0, 4, 1), (1.0, 1, 3, 1), (0.0, 0, 16, 4), (1.0, 1, 12, 4)):
        np.testing.assert_allclose(alignment.positions(share, frames, rate)[side], np.arange(frames))


def test_between_the_ends_clocks_run_in_proportion() -> None:
    alignment = Alignment(np.arange(10), np.repeat(np.arange(5), 2), 0.0)
    assert alignment.frames(0.5, (10, 5)) == 8
    first, second = alignment.positions(0.5, 7)
    np.testing.assert_allclose(0.5 * first + 0.5 * second, np.arange(7))
    assert (np.diff(first) > 0).all() and (np.diff(second) >= 0).all()


def test_frames_between_frames() -> None:
    ramp = torch.arange(5.0)[None] * torch.tensor([[1.0], [10.0]])
    np.testing.assert_allclose(sample_at(ramp, np.array([0, 0.5, 4, 9.0])), [[0, 0.5, 4, 4], [0, 5, 40, 40]])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_pitch_is_moved_not_faded(share: float) -> None:
    low, high = torch.zeros(50, 1), torch.zeros(50, 1)
    low[10], high[30] = 1, 1
    moved = interpolate_pitch(low, high, share)[:, 0]
    assert moved.sum() == pytest.approx(1, abs=1e-5)
    assert (moved * torch.arange(50)).sum() == pytest.approx(10 + 20 * share, abs=1e-3)
    assert moved[torch.arange(50).sub(10 + 20 * share).abs() > 1.6].sum() == pytest.approx(0, abs=1e-6)


def test_spread_distributions_keep_their_mean_and_no_pitch_stays_none() -> None:
    torch.manual_seed(1)
    first, second = torch.rand(2, 40, 3).softmax(1)
    grid = torch.arange(40.0)[:, None]
    between = interpolate_pitch(first, second, 0.3)
    expected = 0.7 * (first * grid).sum(0) + 0.3 * (second * grid).sum(0)
    np.testing.assert_allclose((between * grid).sum(0), expected, atol=0.15)
    assert interpolate_pitch(torch.zeros(0, 4), torch.zeros(0, 4), 0.5).shape == (0, 4)
