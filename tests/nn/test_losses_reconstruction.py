"""Distances against torch's own, on the valid frames alone."""

import pytest
import torch
from torch.nn import functional

from voiceae.nn.losses import reconstruction_loss

TORCHS = {"l1": functional.l1_loss, "l2": functional.mse_loss, "huber": functional.huber_loss}


@pytest.mark.parametrize("distance", list(TORCHS))
def test_masked_loss_is_the_loss_of_the_valid_part(distance):
    ours, theirs = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    mask = torch.arange(8) < torch.tensor([[3], [3]])
    wanted = TORCHS[distance](ours[..., :3], theirs[..., :3])
    torch.testing.assert_close(reconstruction_loss(ours, theirs, mask, distance), wanted)
    torch.testing.assert_close(
        reconstruction_loss(ours, theirs, None, distance), TORCHS[distance](ours, theirs)
    )


def test_unknown_distance_lists_the_known():
    with pytest.raises(ValueError, match="l1, l2, huber"):
        reconstruction_loss(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), None, "l3")
