"""Level of a wave that goes by in blocks: what `normalise` needs to know of the whole, without holding it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceae.audio.level import (
    FRAME_SECONDS,
    MAX_GAIN_DB,
    TARGET_DBFS,
    TINY_POWER,
    active_power,
    frame_powers,
)


class LevelMeter:
    """Offset, active level and peak of a wave, from its blocks; keeps 12 bytes for every 20 ms.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.samples, self.low, self.high = 0, np.inf, -np.inf
        self._sum = 0.0
        self.frame_samples = max(1, round(FRAME_SECONDS * sample_rate))
        self._rest = np.zeros(0, np.float32)
        self._powers: list[NDArray[np.float32]] = []
        self._means: list[NDArray[np.float32]] = []
        self._peaks: list[NDArray[np.float32]] = []

    def hear(self, block: NDArray[np.float32]) -> None:
        """Take note of one block: (n,)."""
        if not len(block):
            return
        self.samples += len(block)
        self._sum += float(block.sum(dtype=np.float64))
        self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))
        wav = np.concatenate((self._rest, block))
        whole = len(wav) // self.frame_samples * self.frame_samples
        self._rest = wav[whole:].copy()
        if whole:
            frames = wav[:whole].reshape(-1, self.frame_samples)
            self._powers.append(frame_powers(wav[:whole], self.sample_rate))
            self._means.append(frames.mean(axis=1, dtype=np.float64).astype(np.float32))
            self._peaks.append(np.abs(frames).max(axis=1))

    @property
    def frames(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean square and mean of every whole frame: -> (F,), (F,)."""
        if not self._powers:
            return np.zeros(0), np.zeros(0)
        powers, means = (np.concatenate(parts).astype(np.float64) for parts in (self._powers, self._means))
        return powers, means

    @property
    def frame_peaks(self) -> NDArray[np.float32]:
        """Largest magnitude of every whole frame, and of what follows the last one: -> (F + 1,)."""
        return np.concatenate([*self._peaks, [np.abs(self._rest).max(initial=0.0)]]).astype(np.float32)

    @property
    def centred_powers(self) -> NDArray[np.float32]:
        """Mean square of every whole frame of the wave less its offset: -> (F,)."""
        powers, means = self.frames
        return np.maximum(powers - 2 * self.offset * means + self.offset**2, 0.0).astype(np.float32)

    @property
    def offset(self) -> float:
        """Mean of all samples."""
        return self._sum / max(1, self.samples)

    @property
    def peak(self) -> float:
        """Largest magnitude."""
        return max(self.high, -self.low) if self.samples else 0.0

    @property
    def power(self) -> float:
        """Mean power of the frames that are not pauses, see `active_power`."""
        return active_power(np.concatenate(self._powers)) if self._powers else self._short(0.0)

    @property
    def centred_power(self) -> float:
        """The same, of the wave less its offset."""
        return active_power(self.centred_powers) if self._powers else self._short(self.offset)

    @property
    def gain_db(self) -> float:
        """What `normalise` would give the wave."""
        peak = max(self.high - self.offset, self.offset - self.low, TINY_POWER)
        level_db = 10 * np.log10(self.centred_power)
        return float(min(TARGET_DBFS - level_db, MAX_GAIN_DB, -20 * np.log10(peak)))

    def _short(self, offset: float) -> float:
        """Of less than one frame."""
        wav = self._rest if len(self._rest) else np.zeros(1, np.float32)
        return active_power(frame_powers(wav - np.float32(offset), self.sample_rate))
