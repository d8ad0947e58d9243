import numpy as np
import pytest

from voiceae.dsp.spectrum import NOISE_FRAMES, fourier_basis, noise_spectra, reached_bins
from voiceae.specs import AudioSpec

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()
SHORT = AudioSpec(sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_max=7600.0)


@pytest.mark.parametrize("spec", [SPEC, SHORT, AudioSpec(n_fft=901, win_length=800, hop_length=255)])
def test_the_basis_gives_the_spectrum_of_a_folded_frame(spec: AudioSpec) -> None:
    frame = np.random.default_rng(1).standard_normal(spec.n_fft)
    wanted = np.fft.rfft(frame)[:50]
    mirrored = np.roll(frame[::-1], 1)  # sample n is that of -n
    once = np.where(
        2 * np.arange(spec.n_bins) % spec.n_fft == 0, 0.5, 1.0
    )  # what is its own mirror counts once
    cosine, sine = fourier_basis(spec, 50)
    folded = [((frame + sign * mirrored)[: spec.n_bins] * once) for sign in (1, -1)]
    np.testing.assert_allclose(folded[0] @ cosine - 1j * (folded[1] @ sine), wanted, atol=1e-4)


def test_bins_beyond_the_last_filter_are_not_reached() -> None:
    assert reached_bins(SPEC) == int(8000 / 22050 * 1024) + 1
    assert (
        reached_bins(AudioSpec(f_max=11025.0)) == SPEC.n_bins - 1
    )  # the last filter falls to zero at its edge


def test_the_noise_is_white_and_always_the_same() -> None:
    spectra = noise_spectra(SPEC, 300)
    assert spectra.shape == (2, NOISE_FRAMES, 300)
    power = np.square(spectra).sum(0)[:, 1:].mean(0) / np.square(SPEC.window()).sum()
    assert power.mean() == pytest.approx(1.0, rel=0.02) and power.min() > 0.7 and power.max() < 1.4
    assert float(spectra[0, 0, 1]) == pytest.approx(
        np.fft.rfft(_first_frame() * SPEC.window())[1].real, rel=1e-5
    )


def _first_frame() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SPEC.n_fft)
