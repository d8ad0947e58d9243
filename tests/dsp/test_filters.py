import numpy as np
import pytest
import torch

from voiceae.dsp.filters import low_pass

pytestmark = pytest.mark.numeric

RATE = 22050


def tone(hertz: float, seconds: float = 0.5) -> torch.Tensor:
    return torch.sin(
        2 * torch.pi * hertz * torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    ).float()


def middle(wav: torch.Tensor) -> torch.Tensor:
    """Without the ends, where the wave's own edges lie."""
    return wav[..., 1000:-1000]


def test_what_lies_below_stays_and_what_lies_above_goes() -> None:
    low, high = tone(7000.0), tone(8200.0)
    found = low_pass((low + high)[None], torch.tensor([8000.0]), RATE)[0]
    assert float(middle(found - low).abs().max()) < 2e-3


def test_nothing_is_left_above() -> None:
    noise = torch.randn(1, 6000, generator=torch.Generator().manual_seed(0))
    power = np.square(np.abs(np.fft.rfft(low_pass(noise, torch.tensor([8000.0]), RATE)[0].double().numpy())))
    hertz = np.fft.rfftfreq(6000, 1 / RATE)
    assert power[hertz > 8000].mean() < 1e-9 * power[hertz < 7600].mean()
    # Half a cosine that ends at the cutoff and is 4 % of it wide: its middle is halved.
    near = abs(hertz - 7840) < 30
    before = np.square(np.abs(np.fft.rfft(noise[0].double().numpy())))
    assert (power[near] / before[near]).mean() == pytest.approx(0.25, rel=0.1)


def test_every_wave_has_its_own_cutoff() -> None:
    wav = (tone(3000.0) + tone(9000.0)).repeat(2, 1)
    found = low_pass(wav, torch.tensor([5000.0, 10000.0]), RATE)
    assert float(middle(found[0] - tone(3000.0)).abs().max()) < 2e-3
    assert float(middle(found[1] - wav[1]).abs().max()) < 2e-3


def test_a_cutoff_that_no_sample_reaches_changes_nothing() -> None:
    wav = torch.randn(2, 1234)
    assert torch.equal(low_pass(wav, torch.tensor([RATE / 2, 12000.0]), RATE), wav)


def test_is_as_exact_under_autocast() -> None:
    wav = tone(1000.0)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = low_pass(wav, torch.tensor([8000.0]), RATE)
    assert float(middle(found - wav).abs().max()) < 2e-3
