"""Arrays of the short-time Fourier transform that torch and onnxruntime share: its basis, and the spectra of noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceae.dsp.mel_filters import mel_filters
from voiceae.specs import AudioSpec

NOISE_FRAMES = 512  # then repeated; six seconds on, nobody hears that it is the same noise
_NOISE_SEED = 0


def reached_bins(spec: AudioSpec) -> int:
    """Bins up to the last that a mel filter reaches, F; of those above a mel says nothing."""
    return int(np.flatnonzero(mel_filters(spec).any(axis=0)).max()) + 1


@lru_cache(maxsize=4)
def fourier_basis(spec: AudioSpec, bins: int) -> NDArray[np.float32]:
    """Cosines and sines of the lowest bins, over the first half of a frame: -> (2, n_fft // 2 + 1, F), read-only.

    The second half mirrors the first, so with a frame folded onto itself half the products do. Looked up in one turn of
    float64, since the argument of a cosine loses digits as it grows.

    Args:
        spec: the mel contract.
        bins: F.
    """
    angle = 2 * np.pi * np.arange(spec.n_fft) / spec.n_fft
    places = np.outer(np.arange(spec.n_fft // 2 + 1), np.arange(bins)) % spec.n_fft
    turn = np.stack((np.cos(angle), np.sin(angle))).astype(np.float32)
    basis = np.take(turn, places, axis=1)
    basis.setflags(write=False)
    return basis


def noise_spectra(spec: AudioSpec, bins: int) -> NDArray[np.float32]:
    """Spectra of consecutive frames of white noise, real and imaginary parts: -> (2, NOISE_FRAMES, F).

    The last frames go on into the first ones, so that the noise can be repeated without a seam.

    Args:
        spec: the mel contract.
        bins: F, from the lowest on.
    """
    noise = np.random.default_rng(_NOISE_SEED).standard_normal(NOISE_FRAMES * spec.hop_length)
    endless = np.concatenate((noise, noise[: spec.n_fft - spec.hop_length]))
    frames = sliding_window_view(endless, spec.n_fft)[:: spec.hop_length]
    spectra = np.fft.rfft(frames * spec.window())[:, :bins]
    return np.stack((spectra.real, spectra.imag)).astype(np.float32)
