"""Downmix to one channel: of those that hold speech, without phase cancellation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.loudness import TINY_POWER, active_power, frame_samples, sustained_power

_LOST_DB = 3.5  # the plain mean may be so much quieter: of two uncorrelated channels it is by 3.01 dB
_QUIETER_DB = 20.0  # a channel this far below the loudest holds crosstalk or hiss
_CONTRAST_DB = 40.0  # from noise floor to speech in a clean recording; contrasts above are taken as equal
_ALIKE_DB = 3.0  # contrasts this near the best are taken as equal: that of steady sounds is about 1 dB
_SYLLABLE_FRAMES = 10  # 0.2 s, the length of a syllable
_LOUDER_DB = 6.0  # speech is at most so far above the loudest syllable's median; clicks are further
_OPPOSITE = -0.5  # correlation below which two channels cancel rather than add


@dataclass(frozen=True)
class Downmix:
    """Weights by which channels are mixed to one.

    Attributes:
        weights: (C,) of each.
        warning: for the user, empty when there is none.
    """

    weights: NDArray[np.float32]
    warning: str = ""


class ChannelMeter:
    """Measures a recording in blocks and chooses its downmix; keeps 8 bytes a channel per 20 ms.

    Args:
        channels: C.
        sample_rate: Hz.
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        self.channels = channels
        self.frame = frame_samples(sample_rate)
        self._mean = np.full((channels, 1), 1 / channels, np.float32)
        self._powers: list[NDArray[np.float32]] = []
        self._means: list[NDArray[np.float32]] = []
        self._products = np.zeros((channels, channels))
        self._sums = np.zeros(channels)
        self._samples = 0

    def update(self, block: NDArray[np.float32]) -> None:
        """Add one block, of whole frames but for the last: (n, C)."""
        if not len(block):
            return
        with np.errstate(invalid="ignore", over="ignore"):
            waves = np.empty((self.channels + 1, len(block)), np.float32)
            waves[:-1] = block.T
            np.dot(block, self._mean[:, 0], out=waves[-1])
            size = min(self.frame, len(block))
            frames = waves[:, : len(block) // size * size].reshape(self.channels + 1, -1, size)
            self._powers.append(np.einsum("cfn,cfn->fc", frames, frames) / np.float32(size))
            self._means.append(np.einsum("cfn->fc", frames) / np.float32(size))
            self._products += waves[:-1] @ waves[:-1].T
            self._sums += waves[:-1].sum(axis=1, dtype=np.float64)
        self._samples += len(block)

    def downmix(self) -> Downmix:
        """Weights for the recording that was measured.

        The plain mean, as is usual, unless the speech in it would be quieter or noisier than in the best channel. Then
        the channels with speech are mixed, inverted ones turned back, at the level of the loudest of them.
        """
        mean = Downmix(self._mean[:, 0])
        if not self._samples or not np.isfinite(self._products).all():
            return mean
        # Power of every frame of every channel and of their mean, less their offsets: (F, C + 1).
        powers, means = np.concatenate(self._powers), np.concatenate(self._means).astype(np.float64)
        offsets = self._sums / self._samples
        offsets = np.append(offsets, offsets.mean())
        powers = np.maximum(powers - 2 * offsets * means + offsets**2, 0.0).astype(np.float32)
        levels, contrasts = _levels_db(powers)
        best = contrasts[:-1].max()
        enough = min(best / 2, best - _ALIKE_DB)
        clear = contrasts[:-1] >= enough
        loudest = int(np.where(clear, levels[:-1], -np.inf).argmax())
        if levels[-1] >= levels[loudest] - _LOST_DB and contrasts[-1] >= enough:
            return mean
        speaking = np.flatnonzero(clear & (levels[:-1] >= levels[loudest] - _QUIETER_DB))
        covariance = self._products - np.outer(self._sums, self._sums) / self._samples
        deviations = np.sqrt(np.maximum(np.diag(covariance), TINY_POWER))
        correlation = np.clip(covariance / np.outer(deviations, deviations), -1.0, 1.0)
        signs = np.where(correlation[loudest, speaking] < _OPPOSITE, -1.0, 1.0)
        weights = np.zeros(self.channels)
        weights[speaking] = signs / len(speaking)
        amplitudes = np.sqrt(powers[:, :-1]) * weights
        mixed = np.maximum(np.einsum("fi,ij,fj->f", amplitudes, correlation, amplitudes), 0.0)
        lost_db = levels[loudest] - 10 * np.log10(active_power(mixed.astype(np.float32)))
        # Never more than the sum of the channels, which is what in-phase speech would need.
        weights *= min(max(10 ** (lost_db / 20), 1.0), len(speaking))
        return Downmix(weights.astype(np.float32), _warning(speaking, signs, self.channels))


def _levels_db(powers: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Level of the speech in each channel, and how far it stands above the noise: (F, C) -> (C,), (C,)."""
    speech = []
    for channel in powers.T:
        # Never far above the loudest syllable, so that a channel that holds only clicks has no speech.
        lasting = sustained_power(channel, _SYLLABLE_FRAMES)
        speech.append(min(active_power(channel), max(lasting * 10 ** (_LOUDER_DB / 10), TINY_POWER)))
    levels = 10 * np.log10(speech)
    floors = 10 * np.log10(np.maximum(np.quantile(powers, 0.1, axis=0), TINY_POWER))
    return levels, np.clip(levels - floors, 0.0, _CONTRAST_DB)


def _warning(speaking: NDArray[np.intp], signs: NDArray[np.float64], channels: int) -> str:
    messages = []
    if (signs < 0).any():
        upright, opposite = (_named(speaking[signs == sign]) for sign in (1, -1))
        messages.append(
            f"channel {upright} and channel {opposite} cancel each other (one is the other upside down); "
            f"channel {opposite} is turned over"
        )
    if len(speaking) < channels:
        messages.append(f"the speech is in channel {_named(speaking)} of {channels}; the others are left out")
    return "; ".join(messages)


def _named(channels: NDArray[np.intp]) -> str:
    return " and ".join(str(channel + 1) for channel in channels)
