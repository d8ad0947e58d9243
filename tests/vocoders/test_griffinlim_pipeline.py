"""The relay of iterations against a plain loop over the whole utterance, and against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import GriffinLim
from voiceae.vocoders.griffinlim_pipeline import block_frames

pytestmark = pytest.mark.numeric

SPECS = {
    "default": AudioSpec(),
    "hop is no divisor": AudioSpec(hop_length=300),
    "short window": AudioSpec(win_length=800, hop_length=200),
    "half overlap": AudioSpec(n_fft=512, win_length=512, hop_length=256, n_mels=40),
}


def plain_loop(
    spec: AudioSpec, magnitude: NDArray[np.float64], phase: NDArray[np.float64], n_iter: int, momentum: float
) -> NDArray[np.float64]:
    """Fast Griffin-Lim as in the paper, frame by frame in float64: (F, T), (F, T) -> (T * hop_length,)."""
    slack = spec.n_fft - spec.win_length
    window = np.pad(scipy.signal.get_window("hann", spec.win_length), (slack // 2, slack - slack // 2))
    starts = np.arange(magnitude.shape[1]) * spec.hop_length
    length = starts[-1] + spec.n_fft

    def to_wave(spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
        wave, envelope = np.zeros(length), np.zeros(length)
        for frame, start in zip(np.fft.irfft(spectrum.T, n=spec.n_fft), starts, strict=True):
            wave[start : start + spec.n_fft] += window * frame
            envelope[start : start + spec.n_fft] += window**2
        return wave / np.maximum(envelope, 1e-12 * envelope.max())

    def to_spectrum(wave: NDArray[np.float64]) -> NDArray[np.complex128]:
        return np.stack([np.fft.rfft(window * wave[start : start + spec.n_fft]) for start in starts], axis=1)

    spectrum, before = magnitude * np.exp(1j * phase), None
    for _ in range(n_iter):
        consistent = to_spectrum(to_wave(spectrum))
        ahead = consistent if before is None else consistent + momentum * (consistent - before)
        spectrum = magnitude * np.exp(1j * np.angle(ahead))
        before = consistent
    return to_wave(spectrum)[spec.padding :][: magnitude.shape[1] * spec.hop_length]


def random_case(spec: AudioSpec, frames: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(frames)
    wave = torch.tensor(rng.normal(size=spec.samples(frames))).float()  # as loud at the ends as anywhere
    phase = torch.tensor(rng.uniform(-np.pi, np.pi, size=(spec.n_bins, frames)))
    return LogMel(spec).magnitude(wave)[:, :frames], phase


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_equals_iterating_over_the_whole_utterance(name: str, momentum: float) -> None:
    spec = SPECS[name]
    frames = 2 * 48 * block_frames(spec) + 5  # three pieces
    magnitude, phase = random_case(spec, frames)
    wav = GriffinLim(spec, n_iter=6, momentum=momentum).invert(magnitude[None], phase[None].float())[0]
    expected = plain_loop(spec, magnitude.double().numpy(), phase.numpy(), 6, momentum)
    assert wav.shape == expected.shape
    # A bin whose value happens to be near zero has a phase that rounding decides; hence a norm, not a
    # maximum.
    assert np.linalg.norm(wav.numpy() - expected) < 2e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("frames", [4, 5, 6, 7, 11, 12, 13])
def test_equals_it_when_the_ends_are_all_there_is(frames: int) -> None:
    spec = SPECS["default"]
    magnitude, phase = random_case(spec, frames)
    wav = GriffinLim(spec, n_iter=4).invert(magnitude[None], phase[None].float())[0]
    expected = plain_loop(spec, magnitude.double().numpy(), phase.numpy(), 4, 0.99)
    assert np.linalg.norm(wav.numpy() - expected) < 2e-3 * np.linalg.norm(expected)


def test_without_iterations_it_is_the_inverse_transform(spec: AudioSpec, clips: list[Tensor]) -> None:
    padded = np.pad(clips[0].numpy(), spec.padding, mode="reflect")
    spectrum = librosa.stft(padded, n_fft=spec.n_fft, hop_length=spec.hop_length, center=False)
    magnitude, phase = torch.tensor(abs(spectrum)), torch.tensor(np.angle(spectrum))
    wav = GriffinLim(spec, n_iter=0).invert(magnitude[None], phase[None])[0]
    torch.testing.assert_close(wav, clips[0], atol=1e-5, rtol=0)


def test_converges_like_librosa(spec: AudioSpec, clips: list[Tensor], to_mel: LogMel) -> None:
    """Basis: for both the same un-centred frames and the same first phases, 32 iterations, momentum 0.99."""
    for seed, clip in enumerate(clips):
        magnitude = to_mel.magnitude(clip)
        phase = 2 * np.pi * np.random.RandomState(seed).random(magnitude.shape)
        ours = GriffinLim(spec).invert(magnitude[None], torch.tensor(phase)[None].float())[0].numpy()
        theirs = librosa.griffinlim(
            magnitude.numpy(),
            n_iter=32,
            hop_length=spec.hop_length,
            center=False,
            random_state=np.random.RandomState(seed),
        )[spec.padding :][: len(ours)]
        assert convergence(ours, magnitude, spec) <= 1.001 * convergence(theirs, magnitude, spec)
        assert convergence(ours, magnitude, spec) < 0.15


def convergence(wav: NDArray[np.float32], magnitude: Tensor, spec: AudioSpec) -> float:
    padded = np.pad(wav, spec.padding, mode="reflect")
    found = abs(librosa.stft(padded, n_fft=spec.n_fft, hop_length=spec.hop_length, center=False))
    wanted = magnitude.numpy()
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
