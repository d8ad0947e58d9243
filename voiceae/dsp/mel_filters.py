"""Mel filterbank of a spec, in numpy: the ONNX runtime goes without torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from voiceae.specs import AudioSpec


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
    low, high = _hertz_to_mel(np.array([spec.f_min, spec.f_max]))
    return _mel_to_hertz(np.linspace(low, high, spec.n_mels + 2))


# Slaney 1998, mfcc.m: linear up to 1 kHz with 200/3 Hz a mel, then logarithmic with 27 mels from 1 to 6.4 kHz.
_HERTZ_PER_MEL, _BREAK_HERTZ, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _hertz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves = np.log(np.maximum(hertz, _BREAK_HERTZ) / _BREAK_HERTZ) / _LOG_STEP
    return np.minimum(hertz, _BREAK_HERTZ) / _HERTZ_PER_MEL + octaves


def _mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    break_mel = _BREAK_HERTZ / _HERTZ_PER_MEL
    return np.minimum(mel, break_mel) * _HERTZ_PER_MEL * np.exp(_LOG_STEP * np.maximum(mel - break_mel, 0.0))
