"""YIN: fundamental frequency of waves in batches, as the target of networks that estimate it from a mel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from voiceae.specs import AudioSpec


def yin(
    wav: Tensor, spec: AudioSpec, *, f_low: float = 60.0, f_high: float = 550.0, threshold: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Fundamental and aperiodicity of every mel frame: (B, N) -> (B, T) Hz, (B, T) 0 (periodic) to about 1.

    De Cheveigne and Kawahara 2002 (JASA 111(4)): the lag of the first minimum below `threshold` of the cumulative mean
    normalised difference function, else of the lowest, refined by a parabola. Batched and on any device, which
    librosa's is not; tested against that one.

    Args:
        wav: samples; T is `N // hop_length`.
        spec: the mel contract; the frames have the same centres as its mels.
        f_low: lowest fundamental, Hz.
        f_high: highest, Hz.
        threshold: aperiodicity that counts as periodic; the paper has 0.1, higher accepts breathy voices.
    """
    longest, shortest = int(spec.sample_rate / f_low) + 1, int(spec.sample_rate / f_high)
    length = spec.n_fft + longest
    before = (length - spec.hop_length) // 2
    padded = functional.pad(wav, (before, length - before))
    frames = padded.unfold(-1, length, spec.hop_length)[:, : wav.shape[-1] // spec.hop_length]
    # Equations 6 (difference function, step 2) and 8 (cumulative mean normalised, step 3) of the paper.
    difference = _difference(frames - frames.mean(-1, keepdim=True), spec.n_fft, longest)
    lags = torch.arange(1, longest + 1, device=wav.device)
    mean = difference.cumsum(-1) / lags
    normalised = difference / mean.clamp_min(1e-12)
    searched = normalised[..., shortest - 1 :]
    # The first local minimum below the threshold (step 4), else the lowest value.
    wide = functional.pad(searched, (1, 1), value=float("inf"))
    dip = (searched <= wide[..., :-2]) & (searched < wide[..., 2:]) & (searched < threshold)
    lag = torch.where(dip.any(-1), dip.int().argmax(-1), searched.argmin(-1)) + shortest - 1
    # The vertex of the parabola through it and its neighbours (step 5).
    inside = lag.clamp(1, longest - 2)
    left, depth, right = (normalised.gather(-1, (inside + k)[..., None])[..., 0] for k in (-1, 0, 1))
    bend = left - 2.0 * depth + right
    shift = torch.where(bend > 1e-9, 0.5 * (left - right) / bend.clamp_min(1e-9), 0.0).clamp(-1.0, 1.0)
    return spec.sample_rate / (inside + shift + 1.0), depth


def _difference(frames: Tensor, window: int, longest: int) -> Tensor:
    """Squared difference between a window and itself at lags 1 to `longest`: (B, T, L) -> (B, T, longest)."""
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab: energies by running sums, the correlation by an FFT of a power of two.
    size = 1 << (frames.shape[-1] + window - 1).bit_length()
    spectra = torch.fft.rfft(frames, size)
    fixed = torch.fft.rfft(frames[..., :window], size)
    correlation = torch.fft.irfft(spectra * fixed.conj(), size)[..., : longest + 1]
    sums = functional.pad(frames.square().cumsum(-1), (1, 0))
    energy = sums[..., window : window + longest + 1] - sums[..., : longest + 1]
    return (energy[..., :1] + energy - 2.0 * correlation)[..., 1:].clamp_min(0.0)
