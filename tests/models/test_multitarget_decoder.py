"""A generator beside a decoder: nothing at first, then what it adds."""

import pytest
import torch

from tests.systems import small_system, speechlike
from voiceae.models import DecoderInput, ResidualDecoder


def test_it_is_the_decoder_alone_until_it_has_a_gain_and_then_the_sum():
    model = small_system("multitarget").eval()
    content = model.encode(speechlike(1, 30))
    both, harmonics = model.decoder, model.pitch.render(content.pitch)
    inputs = DecoderInput(content.units, torch.randn(1, 8), content.pitch, harmonics)
    coarse, detail = (part(inputs) for part in (both.decoder, both.generator))
    torch.testing.assert_close(both(inputs), coarse, atol=0, rtol=0)
    torch.nn.init.constant_(both.gain, 2.0)
    torch.testing.assert_close(both(inputs), coarse + 2 * detail)


def test_parts_at_two_rates_are_refused():
    first, second = small_system("multitarget").decoder, small_system("vqmivc").decoder
    with pytest.raises(ValueError, match="they must agree"):
        ResidualDecoder(decoder=first.decoder, generator=second, n_mels=80)
