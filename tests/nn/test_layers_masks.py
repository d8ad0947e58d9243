"""Masks and moments, against numpy on the valid part alone."""

import numpy as np
import pytest
import torch

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.layers import apply_mask, downsample_mask, lengths_to_mask


def test_lengths_become_masks():
    mask = lengths_to_mask(torch.tensor([0, 2, 5]), 5)
    assert mask.int().tolist() == [[0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize(("length", "coarse"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (10, 3)])
def test_a_coarse_frame_counts_if_any_part_does(length, coarse):
    mask = downsample_mask(lengths_to_mask(torch.tensor([length]), 10), 4)
    assert mask.shape == (1, 3)
    assert mask.sum() == coarse


def test_no_mask_stays_none():
    assert downsample_mask(None, 4) is None
    x = torch.randn(1, 3, 2)
    assert apply_mask(x, None) is x


def test_moments_are_those_of_the_valid_part():
    x = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1
    mean, deviation = masked_moments(x, lengths_to_mask(torch.tensor([4, 9]), 9), eps=1e-5)
    for item, length in ((0, 4), (1, 9)):
        part = x[item, :length].numpy().astype(np.float64)
        np.testing.assert_allclose(mean[item, 0], part.mean(0), atol=1e-6)
        np.testing.assert_allclose(deviation[item, 0], np.sqrt(part.var(0) + 1e-5), atol=1e-6)


def test_full_mask_equals_no_mask():
    x = torch.randn(2, 7, 3)
    for ours, theirs in zip(
        masked_moments(x, torch.ones(2, 7), 1e-5), masked_moments(x, None, 1e-5), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_one_frame_is_its_own_mean():
    x = torch.tensor([[[3.0, -2.0]]])
    mean, deviation = masked_moments(x, None, eps=1e-4)
    torch.testing.assert_close(mean, x)
    torch.testing.assert_close(deviation, torch.full((1, 1, 2), 1e-2))
