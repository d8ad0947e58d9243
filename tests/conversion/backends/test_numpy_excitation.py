from __future__ import annotations

import numpy as np
import pytest
import torch

from voiceae.conversion.backends.numpy_excitation import Excitation
from voiceae.specs import AudioSpec
from voiceae.vocoders.excitation import Excitation as OnTorch

pytestmark = pytest.mark.numeric

SPECS = {
    "default": AudioSpec(),
    "16 kHz": AudioSpec(
        sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_min=60, f_max=7600
    ),
}


def gliding(frames: int) -> np.ndarray:
    return (180 + 60 * np.sin(np.arange(frames) / 7)).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_spectra_are_those_of_torch(spec: AudioSpec) -> None:
    f0 = gliding(70)
    wanted = OnTorch(spec)(torch.from_numpy(f0)[None], torch.tensor([0.3]), first=600)
    for ours, theirs in zip(Excitation(spec)(f0, 0.3, 600), wanted, strict=True):
        scale = float(theirs.abs().max())
        np.testing.assert_allclose(ours, theirs[0].numpy(), rtol=0, atol=1e-3 * scale)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("frames", [1, 9])
def test_frames_are_added_up_as_on_torch(spec: AudioSpec, frames: int) -> None:
    rng = np.random.default_rng(0)
    spectra = rng.standard_normal((frames, spec.n_bins)).astype(np.complex64)
    ours, theirs = Excitation(spec), OnTorch(spec)
    wanted = theirs.overlap_add(torch.from_numpy(spectra)[None])[0].numpy()
    np.testing.assert_allclose(ours.overlap_add(spectra), wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.cover(frames), theirs.cover(frames).numpy(), rtol=0, atol=1e-6)


def test_a_steady_pitch_turns_evenly() -> None:
    spec = AudioSpec()
    turns = Excitation(spec).advance(np.full(5, 441.0, np.float32))
    np.testing.assert_allclose(turns, np.arange(5) * 441 * spec.hop_length / spec.sample_rate, rtol=1e-6)
