"""The converted voice is as loud as the source was, and silent where it was silent."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceae.audio.envelope import envelope_gains, with_gains
from voiceae.audio.io import ClippingWarning
from voiceae.audio.level import FRAME_SECONDS, Levelled, active_power, frame_powers
from voiceae.audio.meter import LevelMeter

MAX_CORRECTION_DB = 20.0
"""A model that came out quieter than this has said nothing worth amplifying."""
SILENCE_DB = 50.0
"""Frames this far below the speech are turned down further, a decibel for each below: networks have learned no silence
deeper than the pauses of their corpus, and fill it with hiss, 40 to 45 dB below the speech."""
_MUTED_DB = 60.0  # turned down by more, it is digital silence
_HANG_FRAMES = 3  # 60 ms on either side of what is louder: soft onsets, endings, and what the network smears


def at_level_of(wav: NDArray[np.float32], source: Levelled, sample_rate: int) -> NDArray[np.float32]:
    """Give a wave the active level that the source had before it was normalised: (N,) -> (N,).

    What bursts out where the source was quiet is turned down first. A peak beyond full scale turns the whole wave
    down, with a warning; nothing is clipped.

    Args:
        wav: converted, at any level.
        source: the normalised source and the gain that made it so.
        sample_rate: Hz, of both.
    """
    converted = LevelMeter(sample_rate)
    converted.hear(wav)
    powers = frame_powers(source.wav, sample_rate)
    return LevelCorrection(powers, source.gain_db, converted, wav).apply(wav)


class LevelCorrection:
    """What `at_level_of` does, for a wave that goes by in blocks a second time.

    Args:
        source: (F,) powers of the frames of the source, less its offset.
        gain_db: of those powers over the source as it came.
        converted: has heard what became of the source, at any level.
        wav: (N,) what it has heard, where that is at hand: then its peak once bursts are bounded is measured, and
            otherwise estimated by frames, on the safe side.
    """

    def __init__(
        self,
        source: NDArray[np.float32],
        gain_db: float,
        converted: LevelMeter,
        wav: NDArray[np.float32] | None = None,
    ) -> None:
        powers, peak = converted.frames[0].astype(np.float32), converted.peak
        came, self._gains, self._frame = converted.power, None, converted.frame_samples
        if len(powers) and ((gains := envelope_gains(powers, source)) < 1).any():
            self._gains, came = gains, active_power(powers * gains**2)
            # Between the middles of two frames the gain lies between theirs.
            nearby = np.maximum(np.r_[gains, gains[-1:]], np.r_[gains[:1], gains])
            nearby[:-1] = np.maximum(nearby[:-1], np.r_[gains[1:], gains[-1:]])
            peak = (
                (converted.frame_peaks * nearby).max()
                if wav is None
                else np.abs(with_gains(wav, gains, self._frame)).max()
            )
        correction_db = 10 * np.log10(active_power(source) / came)
        self._factor = np.float32(10 ** (_gain_db(correction_db, gain_db, float(peak)) / 20))

    @classmethod
    def of_meters(cls, source: LevelMeter, converted: LevelMeter) -> LevelCorrection:
        """Of a source that has gone by in blocks as well."""
        powers = (
            source.centred_powers
            if len(source.centred_powers)
            else np.array([source.centred_power], np.float32)
        )
        return cls(powers * np.float32(10 ** (source.gain_db / 10)), source.gain_db, converted)

    def apply(self, wav: NDArray[np.float32], start: int = 0) -> NDArray[np.float32]:
        """The wave, or the block of it that begins with sample `start`: (n,) -> (n,)."""
        if self._gains is not None:
            wav = with_gains(wav, self._gains, self._frame, start)
        return self._factor * wav


def _gain_db(correction_db: float, source_gain_db: float, peak: float) -> float:
    """Limited on both sides."""
    gain_db = min(correction_db, MAX_CORRECTION_DB) - source_gain_db
    peak_db = 20 * np.log10(max(peak, 1e-10)) + gain_db
    if peak_db > 0:
        warnings.warn(
            f"turned down by {peak_db:.1f} dB to stay within full scale", ClippingWarning, stacklevel=4
        )
        gain_db -= peak_db
    return float(gain_db)


def _active(powers: NDArray[np.floating[Any]]) -> float:
    return active_power(powers.astype(np.float32)) if len(powers) else 1.0


class SilenceEnvelope:
    """Factors that keep the silences of a source silent in what was made of it; 1 wherever it speaks.

    Args:
        powers: (F,) of the source's frames, less their means: a constant offset is silence too.
        frame: samples in each.
    """

    def __init__(self, powers: NDArray[np.floating[Any]], frame: int) -> None:
        depth_db = 10 * np.log10(np.maximum(powers, 1e-20) / _active(powers))
        gains_db = np.minimum(0.0, depth_db + SILENCE_DB)
        gains = np.where(gains_db < -_MUTED_DB, 0.0, 10 ** (gains_db / 20))
        wide = np.pad(gains if len(gains) else np.ones(1), _HANG_FRAMES, mode="edge")
        gains = sliding_window_view(wide, 2 * _HANG_FRAMES + 1).max(1)
        # Straight lines between the middles of frames by way of their edges, where the lesser neighbour counts: a frame
        # that is silent is so from end to end.
        edges = np.minimum(np.r_[gains[:1], gains], np.r_[gains, gains[-1:]])
        self._nodes = np.arange(2 * len(gains) + 1) * (frame / 2)
        self._values = np.empty(2 * len(gains) + 1)
        self._values[::2], self._values[1::2] = edges, gains

    @classmethod
    def of(cls, source: NDArray[np.float32], sample_rate: int) -> SilenceEnvelope:
        """Of a wave that is at hand: (N,)."""
        frame = max(1, min(len(source), round(FRAME_SECONDS * sample_rate)))
        frames = source[: len(source) // frame * frame].reshape(-1, frame)
        return cls(frames.var(axis=1, dtype=np.float64), frame)

    @classmethod
    def of_meter(cls, source: LevelMeter) -> SilenceEnvelope:
        """Of a wave that has gone by in blocks."""
        powers, means = source.frames
        return cls(np.maximum(powers - means**2, 0.0), max(1, round(FRAME_SECONDS * source.sample_rate)))

    def apply(self, wav: NDArray[np.float32], start: int = 0) -> NDArray[np.float32]:
        """A wave, or the block of it that begins with sample `start`: (n,) -> (n,)."""
        spacing = self._nodes[1]
        first, last = int(start / spacing), int((start + len(wav)) / spacing) + 2
        nodes, values = self._nodes[first:last], self._values[first:last]
        if not len(nodes):
            nodes, values = self._nodes[-1:], self._values[-1:]
        if (values == 1).all():
            return wav
        factors = np.interp(np.arange(start, start + len(wav)), nodes, values)
        return (wav * factors).astype(np.float32)
