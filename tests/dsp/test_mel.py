from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from voiceae.dsp.mel import LogMel
from voiceae.dsp.spectrum import mel_filters
from voiceae.io.audio import load
from voiceae.specs import AudioSpec

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()
OTHERS = {
    "default": SPEC,
    "16 kHz": AudioSpec(
        sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_min=60, f_max=7600
    ),
    "48 kHz, short window": AudioSpec(
        sample_rate=48000, n_fft=2048, win_length=1200, hop_length=300, f_max=24000
    ),
}


def by_librosa(wav: NDArray[np.float64], spec: AudioSpec) -> NDArray[np.float64]:
    """(N,) -> (M, T), in float64, sharing no line with the package."""
    padding = (spec.n_fft - spec.hop_length) // 2
    shortest = max(padding + 1, spec.hop_length)
    wav = np.pad(wav, (0, max(0, shortest - len(wav))))
    spectrum = librosa.stft(
        np.pad(wav, padding, mode="reflect"),
        n_fft=spec.n_fft,
        win_length=spec.win_length,
        hop_length=spec.hop_length,
        window="hann",
        center=False,
        dtype=np.complex128,
    )
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + spec.magnitude_epsilon)
    filters = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        dtype=np.float64,
    )
    return np.log(np.maximum(filters @ magnitude, spec.log_floor))


def noise(n_samples: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n_samples) * np.geomspace(1e-4, 0.5, n_samples)


@pytest.mark.parametrize("spec", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("n_samples", [1, 300, 5000, 77777])
def test_float64_equals_librosa(spec: AudioSpec, n_samples: int) -> None:
    wav = noise(n_samples)
    mel = LogMel(spec).double()(torch.from_numpy(wav))
    assert mel.shape == (spec.n_mels, spec.frames(n_samples))
    np.testing.assert_allclose(mel.numpy(), by_librosa(wav, spec), rtol=0, atol=1e-6)


def test_float32_equals_librosa_on_speech(minivctk: Path) -> None:
    path = next(minivctk.rglob("*_mic1.flac"))
    wav = load(path, SPEC.sample_rate).wav
    wanted = by_librosa(wav.astype(np.float64), SPEC)
    difference = np.abs(LogMel(SPEC)(torch.from_numpy(wav)).numpy() - wanted)
    loud = wanted > np.log(1e-3)
    assert difference.mean() <= 1e-5
    assert difference[loud].max() <= 1e-3
    assert difference[~loud].max() <= 1e-2


def test_blocks_change_nothing() -> None:
    wav = torch.from_numpy(noise(SPEC.hop_length * 300 + 17)).float()
    with torch.inference_mode():
        blocks = LogMel(SPEC)(wav)
    whole = LogMel(SPEC)(wav.clone().requires_grad_()).detach()
    torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-5)


def test_a_batch_is_its_rows() -> None:
    rows = torch.stack([torch.from_numpy(noise(40000, seed)) for seed in range(3)]).float()
    log_mel = LogMel(SPEC)
    torch.testing.assert_close(log_mel(rows), torch.stack([log_mel(row) for row in rows]), rtol=0, atol=1e-5)
    assert log_mel.magnitude(rows).shape == (3, SPEC.n_bins, SPEC.frames(40000))


def test_mel_is_the_filtered_magnitude() -> None:
    wav = torch.from_numpy(noise(9000))
    log_mel = LogMel(SPEC).double()
    wanted = (torch.tensor(mel_filters(SPEC)) @ log_mel.magnitude(wav)).clamp_min(SPEC.log_floor).log()
    torch.testing.assert_close(log_mel(wav), wanted, rtol=0, atol=1e-12)


def test_gradient() -> None:
    spec = AudioSpec(sample_rate=800, n_fft=32, win_length=32, hop_length=8, n_mels=4, f_max=400)
    wav = torch.from_numpy(noise(60) * 10).requires_grad_()
    assert torch.autograd.gradcheck(LogMel(spec).double(), wav)


def test_autocast_keeps_precision() -> None:
    wav = torch.from_numpy(noise(20000)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mel = LogMel(SPEC)(wav)
    assert mel.dtype == torch.float32
    torch.testing.assert_close(mel, LogMel(SPEC)(wav), rtol=0, atol=1e-5)


def test_float64_constants_are_exact_inside_a_model_too() -> None:
    model = torch.nn.Sequential(LogMel(SPEC)).to(torch.float64)
    wav = noise(4000)
    np.testing.assert_allclose(model(torch.from_numpy(wav)).numpy(), by_librosa(wav, SPEC), rtol=0, atol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_equals_cpu() -> None:
    wav = torch.from_numpy(noise(50000)).float()
    on_gpu = LogMel(SPEC).cuda()(wav.cuda()).cpu()
    torch.testing.assert_close(on_gpu, LogMel(SPEC)(wav), rtol=0, atol=1e-2)
