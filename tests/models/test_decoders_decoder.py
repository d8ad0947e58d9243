"""The decoder is steered by speaker and pitch."""

import torch

from tests.tiny import small_model


def test_speaker_and_pitch_change_what_is_said():
    torch.manual_seed(0)
    model = small_model().eval()
    mel = torch.randn(1, 80, 40)
    content = model.encode(mel)
    one, other = torch.nn.functional.normalize(torch.randn(2, 1, 16), dim=-1)
    plain = model.decode(content, one)
    assert (model.decode(content, other) - plain).abs().max() > 1e-3
    assert (model.decode(content, one, octaves=torch.tensor([0.5])) - plain).abs().max() > 1e-3
    torch.testing.assert_close(model.decode(content, one, octaves=torch.tensor([0.0])), plain)
