"""The speaker encoder."""

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
