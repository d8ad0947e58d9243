from __future__ import annotations

import torch

from tests.tiny import small_model
from voiceae.conversion.backends.export_graphs import Decode, Describe, Encode, Speak


def test_the_two_halves_make_a_conversion() -> None:
    torch.manual_seed(0)
    model = small_model().eval()
    source, target = torch.randn(1, 80, 61) - 4.0, torch.randn(1, 80, 90) - 3.0
    wanted = model.convert(source, model.describe(target))
    speaker, centre, mean, deviation, loud = Describe(model)(target)
    units, pitch, own = Encode(model)(source)
    found = Decode(model)(units, pitch, speaker, centre - own, mean, deviation, loud, torch.tensor(1.0))
    torch.testing.assert_close(found, wanted)


def test_strength_none_is_the_plain_decoder() -> None:
    torch.manual_seed(0)
    model = small_model().eval()
    mel = torch.randn(1, 80, 61) - 4.0
    content, speaker = model.encode(mel), model.embed(mel)
    blank = (torch.zeros(1, 80), torch.ones(1, 80), torch.zeros(1), torch.tensor(0.0))
    found = Decode(model)(content.units, content.pitch, speaker, torch.zeros(1), *blank)
    torch.testing.assert_close(found, model.decode(content, speaker), rtol=0, atol=1e-4)


def test_a_vocoder_speaks_in_one_pass() -> None:
    class Doubling(torch.nn.Module):
        def generate(self, mel: torch.Tensor) -> torch.Tensor:
            return 2 * mel.sum(1)

    assert Speak(Doubling())(torch.ones(1, 3, 5)).tolist() == [[6.0] * 5]
