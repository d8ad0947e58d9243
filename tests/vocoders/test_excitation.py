import numpy as np
import pytest
import torch

from voiceae.dsp.spectrum import NOISE_FRAMES, reached_bins
from voiceae.specs import AudioSpec
from voiceae.vocoders.excitation import Excitation, ShortTimeTransform

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()


@pytest.fixture(scope="module")
def excitation() -> Excitation:
    return Excitation(SPEC, reached_bins(SPEC))


def test_the_closed_form_is_the_sum_of_cosines(excitation: Excitation) -> None:
    f0 = torch.full((1, 6), 150.0)
    wave = excitation.harmonics(f0)[0].double().numpy()
    seconds = (np.arange(len(wave)) - SPEC.n_fft // 2) / SPEC.sample_rate
    count = int(1.1 * 8000 / 150)
    wanted = sum(np.cos(2 * np.pi * 150 * k * seconds) for k in range(1, count + 1)) * np.sqrt(2 / count)
    assert np.abs(wave - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_a_glide_has_the_phase_of_its_integral(excitation: Excitation) -> None:
    f0 = torch.linspace(100, 300, 40)[None]
    turns = excitation.advance(f0)[0]
    hop_seconds = SPEC.hop_length / SPEC.sample_rate
    fine = np.interp(np.linspace(0, 39, 3901), np.arange(40), f0[0].numpy())
    wanted = np.trapezoid(fine, dx=hop_seconds / 100)
    assert float(turns[-1]) == pytest.approx(wanted, rel=1e-6)


def test_harmonics_and_noise_have_about_unit_power(excitation: Excitation) -> None:
    wave = excitation.harmonics(torch.full((1, 80), 120.0))
    assert float(wave.square().mean()) == pytest.approx(1.0, rel=0.1)
    power = float(excitation.transform.window.square().sum())  # of a frame of unit power
    assert float(excitation.noise.square().sum(0).mean()) == pytest.approx(power, rel=0.02)


def test_a_piece_goes_on_where_the_one_before_ended(excitation: Excitation) -> None:
    f0 = 120 + 60 * torch.sin(torch.arange(50) / 5.0)[None]
    whole = excitation(f0)
    part = excitation(f0[:, 20:], turns=excitation.advance(f0)[:, 20], first=20)
    for ours, theirs in zip(part, whole, strict=True):  # the edge of a piece does not know the frame before
        assert torch.allclose(ours[:, :, 2:], theirs[:, :, 22:], atol=1e-2)


def test_the_noise_begins_again_without_a_seam(excitation: Excitation) -> None:
    first = torch.tensor([NOISE_FRAMES - 3])
    _, noise = excitation(torch.full((1, 8), 100.0), first=first)
    wave = excitation.transform.invert(noise)[0]
    frames = excitation.transform(torch.nn.functional.pad(wave, (SPEC.padding, SPEC.padding))[None])
    found, wanted = (
        each[:, :, 2:-2, :300] for each in (frames, noise)
    )  # away from the highest bin that is kept
    assert torch.allclose(found, wanted, atol=0.01 * float(noise.abs().max()))


@pytest.mark.parametrize("spec", [SPEC, AudioSpec(n_fft=900, win_length=800, hop_length=256)])
def test_the_inverse_undoes_the_transform(spec: AudioSpec) -> None:
    transform = ShortTimeTransform(spec, spec.n_bins)
    wave = torch.randn(2, 11 * spec.hop_length + spec.n_fft, generator=torch.Generator().manual_seed(0))
    spectra = transform(wave)
    assert spectra.shape == (2, 2, 12, spec.n_bins)
    again, wanted = transform.invert(spectra), wave[:, spec.padding : spec.padding + spec.samples(12)]
    inside = slice(spec.n_fft, -spec.n_fft)
    assert torch.allclose(again[:, inside], wanted[:, inside], atol=1e-5)
