from __future__ import annotations

import librosa
import numpy as np
import pytest

from voiceae.dsp.spectrum import mel_corners, mel_filters
from voiceae.specs import AudioSpec

SPECS = {
    "default": AudioSpec(),
    "16 kHz": AudioSpec(
        sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_min=60, f_max=7600
    ),
    "48 kHz": AudioSpec(sample_rate=48000, n_fft=2048, win_length=1200, hop_length=300, f_max=24000),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_filters_equal_librosa(spec: AudioSpec) -> None:
    wanted = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        dtype=np.float64,
    )
    np.testing.assert_allclose(mel_filters(spec), wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_corners_equal_librosa(spec: AudioSpec) -> None:
    wanted = librosa.mel_frequencies(n_mels=spec.n_mels + 2, fmin=spec.f_min, fmax=spec.f_max)
    np.testing.assert_allclose(mel_corners(spec), wanted, rtol=1e-12)


def test_filters_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(AudioSpec())[0, 0] = 1.0
