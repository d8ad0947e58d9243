import numpy as np
import pytest
import torch

from voiceae.nn.losses import MultiResolutionSTFTLoss

LOSS = MultiResolutionSTFTLoss(fft_sizes=[256, 1024], sample_rate=22050, f_max=8000.0)


def tone(amplitude: float, hertz: float = 1000.0) -> torch.Tensor:
    return amplitude * torch.sin(2 * np.pi * hertz * torch.arange(8192) / 22050)[None]


def test_is_zero_only_for_the_same_magnitudes() -> None:
    assert float(LOSS(tone(0.5), tone(0.5))) == pytest.approx(0.0, abs=1e-4)
    assert float(LOSS(-tone(0.5), tone(0.5))) == pytest.approx(0.0, abs=1e-4)
    assert float(LOSS(tone(0.5, 1500.0), tone(0.5))) > 0.5


def test_halving_a_noise_costs_log_two_and_half_of_the_norm() -> None:
    noise = torch.randn(2, 8192, generator=torch.Generator().manual_seed(0))
    assert float(LOSS(0.5 * noise, noise)) == pytest.approx(np.log(2) + 0.5, abs=0.02)


def test_the_magnitude_of_a_full_scale_tone_is_a_half() -> None:
    assert float(LOSS.magnitude(tone(1.0, 46 * 22050 / 1024), 1024).max()) == pytest.approx(0.5, abs=0.01)


def test_does_not_look_above_the_top() -> None:
    assert float(LOSS(tone(0.5) + tone(0.5, 10000.0), tone(0.5))) < 0.05
