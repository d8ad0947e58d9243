"""Mel magnitudes back to linear ones, and where a lone click sits, with numpy alone.

What is computed, and why, is told in `voiceae.vocoders.mel_inverse`, which runs on torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.mel_filters import mel_filters
from voiceae.specs import AudioSpec

Floats = NDArray[np.float32]

_LONELY = 0.01  # energy, relative to the loudest frame, that frames beyond the click's reach may have
_N_STEPS = 12


class MelInverse:
    """Non-negative magnitudes with the given mels, by FISTA: log-mel (T, M) -> (T, F), F being `bins`.

    Args:
        spec: the mel contract.
    """

    def __init__(self, spec: AudioSpec) -> None:
        filters = mel_filters(spec)
        self.bins = (
            int(np.flatnonzero(filters.any(axis=0)).max()) + 1
        )  # nothing above the last filter can be known
        filters = filters[:, : self.bins]
        self._filters = np.ascontiguousarray(filters.T, np.float32)
        # The pseudo-inverse A' (A A')^-1, transposed: that of the small matrix is fifty times as fast to find.
        small = np.linalg.pinv(filters @ filters.T, rcond=1e-12, hermitian=True)
        self._inverse = np.ascontiguousarray(small @ filters, np.float32)

    def __call__(self, mel: Floats) -> Floats:
        """Linear magnitudes: log-mel (T, M) -> (T, F)."""
        target = np.exp(mel)
        now = np.maximum(target @ self._inverse, np.float32(0))
        ahead, inertia = now, 1.0
        for _ in range(_N_STEPS):
            missing = target - ahead @ self._filters
            before, now = now, missing @ self._inverse
            now += ahead
            np.maximum(now, 0, out=now)
            grown = (1.0 + (1.0 + 4.0 * inertia**2) ** 0.5) / 2.0
            ahead = now + np.float32((inertia - 1.0) / grown) * (now - before)
            inertia = grown
        return now


def click_positions(energy: Floats, spec: AudioSpec) -> Floats:
    """Sample of each frame at which it hears a lone click: (T,) -> (T,), NaN for all other frames.

    Args:
        energy: summed squared magnitudes of each frame.
        spec: the mel contract; the windows of three frames must overlap.
    """
    width, hop, frames = spec.win_length, spec.hop_length, len(energy)
    positions = np.full(frames, np.nan, np.float32)
    if width <= 3 * hop:
        return positions
    reach = math.ceil(width / (2 * hop) + 0.5)
    padded = np.pad(energy, reach, constant_values=np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    before, after = around[:, reach - 1], around[:, reach + 1]
    lone = np.maximum(around[:, 0], around[:, -1]) < np.float32(_LONELY) * energy
    lone &= (energy >= before) & (energy > after)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.nan_to_num(after / before, nan=1.0).astype(np.float32) ** np.float32(0.25)
        slope = (ratio - 1) / ((ratio + 1) * np.float32(math.tan(math.pi * hop / width)))
    centre = np.where(lone, spec.n_fft / 2 + width / math.pi * np.arctan(slope), np.nan)
    for distance in sorted(range(1 - reach, reach), key=abs, reverse=True):
        shifted = np.pad(centre, (reach + distance, reach - distance), constant_values=np.nan)
        heard = shifted[reach : reach + frames] - distance * hop
        inside = (heard >= 0) & (heard < spec.n_fft)
        positions = np.where(inside, heard, positions)
    return positions.astype(np.float32)
