"""A speaker encoder of another model: same vectors as at home, and never a change."""

import pytest
import torch

from tests.systems import small_system, speechlike
from voiceae.models import PretrainedSpeaker, SpeakerEncoder


def encoder(seed: int, channels: int = 16) -> SpeakerEncoder:
    torch.manual_seed(seed)
    return SpeakerEncoder(n_mels=80, channels=channels, hidden=16, n_blocks=1, dim=8)


def test_it_hears_what_the_encoder_hears_at_home_whatever_the_statistics_here():
    home, mel = encoder(1).eval(), speechlike(2, 50) * 2 - 4
    mean, deviation = torch.linspace(-6, -3, 80), torch.linspace(1, 2, 80)
    frozen = PretrainedSpeaker(encoder=encoder(2), n_mels=80)
    frozen.take(home, mean[:, None], deviation[:, None])
    here_mean, here_deviation = torch.full((80,), -5.0), torch.full((80,), 0.5)
    frozen.set_statistics(here_mean, here_deviation)
    here = (mel - here_mean[:, None]) / here_deviation[:, None]
    wanted = home((mel - mean[:, None]) / deviation[:, None])
    torch.testing.assert_close(frozen(here), wanted, atol=1e-4, rtol=0)


def test_the_model_tells_it_the_statistics():
    model = small_system("autovc")
    model.set_statistics(torch.full((80,), -3.0), torch.full((80,), 2.0))
    assert model.speaker.mean.unique().tolist() == [-3] and model.speaker.deviation.unique().tolist() == [2]


def test_nothing_of_it_learns_and_it_stays_in_use_during_training():
    frozen = PretrainedSpeaker(encoder=encoder(0), n_mels=80).train()
    assert frozen.training and not frozen.encoder.training
    assert not any(weight.requires_grad for weight in frozen.parameters())
    mel = torch.randn(1, 80, 20, requires_grad=True)
    frozen(mel)[0, 0].backward()
    assert mel.grad.abs().sum() > 0  # what is listened to may learn from it


def test_another_build_is_refused():
    frozen = PretrainedSpeaker(encoder=encoder(0), n_mels=80)
    with pytest.raises(ValueError, match="size mismatch"):
        frozen.take(encoder(0, channels=8), torch.zeros(80, 1), torch.ones(80, 1))
