"""Mel filterbank, Fourier basis and spectra of noise, in numpy: torch and onnxruntime share them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceae.specs import AudioSpec

NOISE_FRAMES = 512  # then repeated; six seconds on, nobody hears that it is the same noise
_NOISE_SEED = 0


@lru_cache(maxsize=8)
def mel_filters(spec: AudioSpec) -> NDArray[np.float64]:
    """Triangular filters of unit area in Hz, evenly spaced on the Slaney mel scale: () -> (M, F), read-only.

    Each filter rises from its neighbour's centre below to its own and falls to that of the neighbour above
    (M. Slaney, Auditory Toolbox, Technical Report 1998-010).
    """
    corners = mel_corners(spec)[:, None]
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(spec.n_bins) * (spec.sample_rate / spec.n_fft)
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    filters = np.maximum(triangles, 0.0) * (2 / (high - low))
    filters.setflags(write=False)
    return filters


def mel_corners(spec: AudioSpec) -> NDArray[np.float64]:
    """Corner frequencies of the triangles, Hz: -> (M + 2,); filter m rises from m, peaks at m + 1, ends at m + 2."""
    # Slaney 1998, mfcc.m: linear up to 1 kHz with 200/3 Hz a mel, then logarithmic with 27 mels from 1 to 6.4 kHz.
    hertz_per_mel, break_hertz, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    edges = np.array([spec.f_min, spec.f_max])
    above = np.log(np.maximum(edges, break_hertz) / break_hertz) / log_step
    low, high = np.minimum(edges, break_hertz) / hertz_per_mel + above
    mel, break_mel = np.linspace(low, high, spec.n_mels + 2), break_hertz / hertz_per_mel
    corners = np.minimum(mel, break_mel) * hertz_per_mel * np.exp(log_step * np.maximum(mel - break_mel, 0.0))
    return np.asarray(corners)


def reached_bins(spec: AudioSpec) -> int:
    """Bins up to the last that a mel filter reaches, F; of those above a mel says nothing."""
    return int(np.flatnonzero(mel_filters(spec).any(axis=0)).max()) + 1


def bins_below(spec: AudioSpec, hertz: float) -> int:
    """Bins from the lowest to a frequency, F; never that of half the sample rate, which has no phase."""
    return min(int(hertz * spec.n_fft / spec.sample_rate) + 1, spec.n_bins - 1)


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
