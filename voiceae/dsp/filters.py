"""Filters of whole waves."""

from __future__ import annotations

import torch
from torch import Tensor


def low_pass(wav: Tensor, cutoff: Tensor, sample_rate: int, *, fade: float = 0.04) -> Tensor:
    """Cut every wave off above its own frequency: (B, N), (B,) Hz -> (B, N).

    By one transform of the whole wave, with a gain that falls from one to nothing as half a cosine just below the
    cutoff; above it nothing is left. One whose cutoff is at or above half the sample rate comes back unchanged. In
    float32 also under autocast.

    Args:
        wav: samples.
        cutoff: Hz.
        sample_rate: Hz.
        fade: width of the fall, as a share of the cutoff.
    """
    with torch.autocast(wav.device.type, enabled=False):
        wav = wav.float()
        spectra = torch.fft.rfft(wav)
        hertz = torch.linspace(0.0, sample_rate / 2, spectra.shape[-1], device=wav.device)
        below = (cutoff[:, None] - hertz) / (fade * cutoff[:, None])  # in widths of the fall
        gain = 0.5 - 0.5 * torch.cos(torch.pi * below.clamp(0.0, 1.0))
        filtered = torch.fft.irfft(spectra * gain, n=wav.shape[-1])
        return torch.where(cutoff[:, None] >= sample_rate / 2, wav, filtered)
