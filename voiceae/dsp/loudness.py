"""Loudness of speech: measured whole or block by block, normalised, and given back to a converted wave."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceae.errors import ClippingWarning

TARGET_DBFS = -26.0  # RMS of the active frames; the nominal speech level of ITU-T P.56 practice
MAX_GAIN_DB = 40.0  # a near-silent recording is not blown up to a storm of noise
FRAME_SECONDS = 0.02
_GATE_DB = 10.0  # frames this far below the mean of all are pauses, as in ITU-R BS.1770-4, section 5.1
_LASTING_FRAMES = 25  # 0.5 s; what is shorter than half of it does not move the median
_ARTEFACT_DB = (
    9.0  # above the loudest such median; frames of speech stand at most 5 dB above it (the demo's clips)
)
_FEWEST, _SHARE = 12, 0.02  # frames that artefacts may be, or their share; syllables are more
_RAISED_DB = 3.0  # by less than this the level is not set by them
_CONTRAST_DB = 6.0  # from the floor of what is left to what lasts in it; less is noise alone
TINY_POWER = 1e-20


@dataclass(frozen=True)
class NormalisedWave:
    """A wave at the common level.

    Attributes:
        wav: (N,) float32, mean 0, peak at most 1.
        gain_db: what was applied; `wav * 10 ** (-gain_db / 20)` is the wave as it came, less its offset.
    """

    wav: NDArray[np.float32]
    gain_db: float


def frame_powers(wav: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Mean square of consecutive frames of 20 ms: (N,) -> (N // frame,), at least one."""
    size = max(1, min(len(wav), round(FRAME_SECONDS * sample_rate)))
    frames = wav[: len(wav) // size * size].reshape(-1, size)
    return np.asarray(np.einsum("fn,fn->f", frames, frames) / np.float32(size))


def active_power(powers: NDArray[np.float32]) -> float:
    """Mean power of the frames that are speech: (F,) in their order -> ().

    Pauses do not count, which are more than 10 dB below the mean (the relative gate of ITU-R BS.1770-4), and neither
    do clicks, knocks and bursts where they alone would set the level.
    """
    level, artefacts = _gated(powers), _artefacts(powers)
    if not artefacts.any():
        return level
    without = _gated(powers[~artefacts])
    return without if without * 10 ** (_RAISED_DB / 10) < level else level


def sustained_power(powers: NDArray[np.float32], frames: int) -> float:
    """Loudest that lasts, the highest median of so many consecutive frames: (F,) -> ()."""
    return float(np.median(sliding_window_view(powers, min(frames, len(powers))), axis=1).max())


def _gated(powers: NDArray[np.float32]) -> float:
    mean = float(powers.mean(dtype=np.float64))
    active = powers[powers >= mean * 10 ** (-_GATE_DB / 10)]
    return max(float(active.mean(dtype=np.float64)), TINY_POWER) if len(active) else TINY_POWER


def _artefacts(powers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Frames that are far louder than anything that lasts, few, and not all there is beside noise: (F,) -> (F,)."""
    none = np.zeros(len(powers), dtype=np.bool_)
    if len(powers) < _LASTING_FRAMES:
        return none
    lasting = sustained_power(powers, _LASTING_FRAMES)
    found = powers > lasting * 10 ** (_ARTEFACT_DB / 10)
    if not found.any() or found.sum() > max(_FEWEST, _SHARE * len(powers)):
        return none
    floor = float(np.quantile(powers[~found], 0.1))
    return found if lasting > max(floor, TINY_POWER) * 10 ** (_CONTRAST_DB / 10) else none


def normalise(wav: NDArray[np.float32], sample_rate: int, target_dbfs: float = TARGET_DBFS) -> NormalisedWave:
    """Remove the offset and bring the active frames to a common RMS: (N,) -> (N,).

    The gain is at most 40 dB, and never so much that the peak passes full scale.

    Args:
        wav: samples, full scale 1.
        sample_rate: Hz.
        target_dbfs: RMS wanted of the frames that are not pauses, dB relative to full scale.
    """
    centred = wav - np.float32(wav.mean(dtype=np.float64))
    level_db = 10 * np.log10(active_power(frame_powers(centred, sample_rate)))
    peak = max(float(centred.max()), -float(centred.min()), TINY_POWER)
    gain_db = min(target_dbfs - level_db, MAX_GAIN_DB, -20 * np.log10(peak))
    centred *= np.float32(10 ** (gain_db / 20))
    return NormalisedWave(wav=centred, gain_db=float(gain_db))


_HEADROOM_DB = (
    15.0  # above the source's loudest frame nearby; conversions of speech stay within 12 (the demo's clips)
)
_FLOOR_DB = -25.0  # of the speech: below it nothing is turned down, however quiet the source is
_NEARBY_FRAMES = 4  # 80 ms on both sides: a vocoder's window, and what a model moves


def envelope_gains(powers: NDArray[np.float32], source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gain of every frame that keeps it below the source's envelope: (F,), (F',) -> (F,), at most 1.

    Both are taken relative to the level of their own speech.
    """
    allowed = np.full(len(powers), source[-1] if len(source) else 0.0)
    allowed[: len(source)] = source[: len(powers)]
    allowed = _spread(allowed / active_power(source), _NEARBY_FRAMES, np.maximum) * 10 ** (_HEADROOM_DB / 10)
    allowed = np.maximum(allowed, 10 ** (_FLOOR_DB / 10))
    over = np.maximum(powers / active_power(powers) / allowed, 1.0)
    return _spread(1 / np.sqrt(over), 1, np.minimum).astype(np.float32)


def apply_gains(
    wav: NDArray[np.float32], gains: NDArray[np.float32], size: int, start: int = 0
) -> NDArray[np.float32]:
    """Apply the gains of frames, without steps between them: (n,), (F,) -> (n,).

    Args:
        wav: a block.
        gains: of all frames.
        size: samples of a frame.
        start: place of the block's first sample in the whole.
    """
    centres = (np.arange(len(gains)) + 0.5) * size
    places = np.arange(start, start + len(wav))
    return wav * np.interp(places, centres, gains).astype(np.float32)


def _spread(values: NDArray[np.float64], reach: int, extreme: np.ufunc) -> NDArray[np.float64]:
    """Extreme of each value and so many neighbours on both sides: (F,) -> (F,)."""
    padded = np.pad(values, reach, mode="edge")
    return np.asarray(extreme.reduce([padded[place : place + len(values)] for place in range(2 * reach + 1)]))


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

    def update(self, block: NDArray[np.float32]) -> None:
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


MAX_CORRECTION_DB = 20.0
"""A model that came out quieter than this has said nothing worth amplifying."""
SILENCE_DB = 50.0
"""Frames this far below the speech are turned down further, a decibel for each below: networks have learned no silence
deeper than the pauses of their corpus, and fill it with hiss, 40 to 45 dB below the speech."""
_MUTED_DB = 60.0  # turned down by more, it is digital silence
_HANG_FRAMES = 3  # 60 ms on either side of what is louder: soft onsets, endings, and what the network smears


def restore_level(wav: NDArray[np.float32], source: NormalisedWave, sample_rate: int) -> NDArray[np.float32]:
    """Give a wave the active level that the source had before it was normalised: (N,) -> (N,).

    What bursts out where the source was quiet is turned down first. A peak beyond full scale turns the whole wave
    down, with a warning; nothing is clipped.

    Args:
        wav: converted, at any level.
        source: the normalised source and the gain that made it so.
        sample_rate: Hz, of both.
    """
    converted = LevelMeter(sample_rate)
    converted.update(wav)
    powers = frame_powers(source.wav, sample_rate)
    return LevelCorrection(powers, source.gain_db, converted, wav).apply(wav)


class LevelCorrection:
    """What `restore_level` does, for a wave that goes by in blocks a second time.

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
                else np.abs(apply_gains(wav, gains, self._frame)).max()
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
            wav = apply_gains(wav, self._gains, self._frame, start)
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
