"""How far up a recording goes: the band that a codec left of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Where the bands of Opus end that reach beyond a telephone's, Hz (RFC 6716, section 2.1.3: wide, super-wide, full)
_OPUS_EDGES_HZ = (8000.0, 12000.0, 20000.0)
# What falls by more across such an edge is not there. Speech falls by 14 dB at most (renderings sampled at 24 kHz),
# Common Voice mostly by 30; recordings sampled at 16 kHz fall by 99 and more, upsampled ones by 50 and more.
_DROP_DB = 40.0
_GUARD = 0.05  # of the edge, left out on both sides of it: filters are not that steep
_N_FFT = 1024


def coded_band(wav: NDArray[np.float32], sample_rate: int) -> float:
    """Highest frequency that a decoded Opus recording holds, Hz: (N,) -> ().

    It is the end of one of the codec's bands or half the sample rate, told by the spectrum of the whole: a file does
    not say which band its packets were coded in. Telephone bands, which end below 8 kHz, are not told apart.

    Args:
        wav: samples, at any level.
        sample_rate: Hz, after resampling.
    """
    highest = sample_rate / 2
    size = min(_N_FFT, len(wav))
    frames = wav[: len(wav) // size * size].reshape(-1, size) * np.hanning(size).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(axis=0, dtype=np.float64)
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)
    for edge in _OPUS_EDGES_HZ:
        below = power[(hertz > 0.8 * edge) & (hertz < (1 - _GUARD) * edge)]
        above = power[(hertz > (1 + _GUARD) * edge) & (hertz < min(1.3 * edge, 0.97 * highest))]
        if len(above) and above.mean() < below.mean() * 10 ** (-_DROP_DB / 10):
            return min(edge, highest)
    return highest
