"""The speaker encoder."""

import pytest
import torch

from voiceae.models import SpeakerEncoder


def test_order_of_far_parts_hardly_matters_and_content_does():
    """Pooling forgets when; a vector of the same frames in another order stays near, of other frames does not."""
    torch.manual_seed(0)
    encoder = SpeakerEncoder(n_mels=80, channels=16, hidden=32, n_blocks=1, dim=8).eval()
    first, second = torch.randn(1, 80, 200), torch.randn(1, 80, 200) * 2 + 1
    one = encoder(torch.cat((first, second), -1))
    other = encoder(torch.cat((second, first), -1))
    assert (one * other).sum() > 0.999
    assert (one * encoder(torch.cat((first, first), -1))).sum() < 0.999


def test_pooling_by_the_mean_does_not_hear_how_much_frames_vary():
    """Frames that swing around one mean are as that mean; statistics pooling tells them apart."""
    for pooling, alike in (("mean", True), ("statistics", False)):
        torch.manual_seed(0)
        encoder = SpeakerEncoder(
            n_mels=4, channels=16, hidden=16, n_blocks=0, dim=8, rate=1, pooling=pooling
        ).eval()
        mean, swing = torch.randn(1, 4, 1), torch.randn(1, 4, 1) * torch.tensor([1.0, -1.0]).repeat(20)
        near = (encoder(mean.expand(-1, -1, 40)) * encoder(mean + swing)).sum() > 0.9999
        assert bool(near) is alike


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pooling 'max': expected one of mean, statistics"):
        SpeakerEncoder(n_mels=4, channels=8, hidden=8, n_blocks=1, dim=8, pooling="max")
