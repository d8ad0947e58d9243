"""Checks of a wave in blocks: finite samples, duration, silence and very low level."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import AudioError

QUIET_STEPS = 64  # of 16 bits: with a peak of 64 steps, rounding noise is about 35 dB below the speech
SILENT_PEAK = 1e-4  # -80 dBFS: three steps of a 16-bit converter
_ABSURD_PEAK = 1e9  # squares of larger values overflow float32


def peak(wav: NDArray[np.float32]) -> float:
    """Largest magnitude, NaN when any sample is."""
    return max(float(wav.max()), -float(wav.min())) if len(wav) else 0.0


class LowLevelWarning(UserWarning):
    """Warns of a recording so quiet that its quantisation noise is audible."""


class AudioValidator:
    """Checks a wave that comes in blocks, and at the end the whole.

    Args:
        name: of the wave, for the messages.
        sample_rate: Hz.
        min_seconds: shortest duration that is accepted.
        what: what it is for ("a source", "a target").
    """

    def __init__(self, name: str, sample_rate: int, min_seconds: float, what: str) -> None:
        self.name, self.sample_rate, self.min_seconds, self.what = name, sample_rate, min_seconds, what
        self.samples, self.low, self.high = 0, np.inf, -np.inf

    def update(self, block: NDArray[np.float32]) -> None:
        """Check and count one block: (n,).

        Raises:
            AudioError: for a sample that is NaN, infinite or absurd.
        """
        if not len(block):
            return
        if not peak(block) < _ABSURD_PEAK:
            wrong = int(np.flatnonzero(~(np.abs(block) < _ABSURD_PEAK))[0])
            raise AudioError(
                f"{self.name}: sample {self.samples + wrong} is {block[wrong]}; "
                "samples must be finite, full scale 1; export the file again"
            )
        self.samples += len(block)
        self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))

    def close(self) -> None:
        """Check the whole, after the last block.

        Raises:
            AudioError: for no samples, too few, or nothing but silence (a constant offset is silence too).
        """
        if not self.samples:
            raise AudioError(f"{self.name}: holds no samples; {self.what} needs some speech; record it again")
        seconds = self.samples / self.sample_rate
        if seconds < self.min_seconds - 1e-6:
            raise AudioError(
                f"{self.name}: {seconds:.2f} s of audio; {self.what} needs at least {self.min_seconds:g} s; "
                "give a longer clip"
            )
        swing = (self.high - self.low) / 2
        if swing < SILENT_PEAK:
            raise AudioError(
                f"{self.name}: is silent (peak below {20 * np.log10(SILENT_PEAK):.0f} dBFS); "
                f"{self.what} needs some speech; check the microphone"
            )
        if swing * 32768 < QUIET_STEPS:
            warnings.warn(
                f"{self.name}: is very quiet: its peak of {20 * np.log10(swing):.0f} dBFS is "
                f"{max(1, round(swing * 32768))} of the 32,768 steps of 16 bits, so expect noise; record it louder",
                LowLevelWarning,
                stacklevel=2,
            )
