from __future__ import annotations

import numpy as np
import pytest
import torch

from voiceae.conversion.backends.numpy_griffinlim import GriffinLim
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import GriffinLim as OnTorch

pytestmark = pytest.mark.numeric

SPECS = {
    "default": AudioSpec(),
    "odd overlap": AudioSpec(
        sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_min=60, f_max=7600
    ),
}


def speech_like(spec: AudioSpec, frames: int) -> np.ndarray:
    """Smooth mels with pauses, so that phases matter and clicks do not: (M, T) float32."""
    rng = np.random.default_rng(1)
    rough = rng.standard_normal((spec.n_mels, frames + 8))
    smooth = np.apply_along_axis(np.convolve, 1, rough, np.ones(9) / 3, mode="valid")
    return (smooth - 4.0 + np.sin(np.arange(frames) / 20.0)).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("frames", [1, 7, 130])
def test_the_wave_is_that_of_torch(spec: AudioSpec, frames: int) -> None:
    mel = speech_like(spec, frames)
    wanted = OnTorch(spec, n_iter=8)(torch.from_numpy(mel)[None])[0].numpy()
    wav = GriffinLim(spec, n_iter=8)(mel)
    assert wav.shape == wanted.shape == (spec.samples(frames),)
    np.testing.assert_allclose(wav, wanted, rtol=0, atol=1e-3 * np.abs(wanted).max())


def test_more_than_one_piece_of_magnitudes() -> None:
    spec = AudioSpec()
    mel = speech_like(spec, 300)
    portable = GriffinLim(spec, n_iter=2)
    assert mel.shape[1] > portable.piece_frames
    wanted = OnTorch(spec, n_iter=2)(torch.from_numpy(mel)[None])[0].numpy()
    np.testing.assert_allclose(portable(mel), wanted, rtol=0, atol=1e-3 * np.abs(wanted).max())


def test_a_lone_click_stays_where_it_was() -> None:
    spec = AudioSpec()
    wav = np.zeros(16384, np.float32)
    wav[7000] = 0.9
    from voiceae.dsp.mel import LogMel

    mel = LogMel(spec)(torch.from_numpy(wav)).numpy()
    assert abs(int(np.abs(GriffinLim(spec, n_iter=4)(mel)).argmax()) - 7000) <= 2
