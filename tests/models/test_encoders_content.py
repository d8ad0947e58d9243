"""The content encoder's rates and receptive field."""

import pytest
import torch

from voiceae.models import ContentEncoder


@pytest.mark.parametrize(("rate", "codes"), [(1, 10), (2, 5), (4, 3)])
def test_code_rate(rate, codes):
    encoder = ContentEncoder(n_mels=80, channels=8, hidden=16, n_blocks=1, rate=rate)
    assert encoder(torch.randn(2, 80, 10)).shape == (2, 8, codes)


def test_output_is_normalised_per_utterance():
    encoder = ContentEncoder(n_mels=80, channels=8, hidden=16, n_blocks=1)
    coded = encoder(torch.randn(2, 80, 400) * 3)
    torch.testing.assert_close(coded.mean(-1), torch.zeros(2, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(coded.std(-1, correction=0), torch.ones(2, 8), atol=1e-3, rtol=0)
