"""Level of speech: measured, normalised, and given back to a converted wave, whole or block by block.

`normalise` and `LevelMeter` measure the same, the one of a wave at hand, the other of blocks that go by once.
`LevelCorrection` and `SilenceEnvelope` then make a conversion as loud as its source, and as silent where it is silent.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceae.errors import ClippingWarning

# RMS of the active frames: -26 dB relative to full scale is the nominal active speech level of ITU-T listening tests
# (measured as in P.56, set by `sv56demo` of the G.191 tools).
TARGET_DBFS = -26.0
# Speech of -66 dBFS; what is quieter is mostly noise, which would be blown up to full scale
MAX_GAIN_DB = 40.0
FRAME_SECONDS = 0.02  # a few periods of a voice, shorter than a syllable
# Relative gate of ITU-R BS.1770-4, section 5.1: frames this far below the mean of all are pauses
GATE_DB = 10.0
TINY_POWER = 1e-20  # -200 dB, in the place of zero

# Clicks, knocks and bursts. Thresholds: frames of speech in the demo's clips stand at most 5 dB above the loudest
# median over half a second; syllables last longer than the artefacts meant here.
_SUSTAINED_FRAMES = 25  # 0.5 s: what is shorter than half of it does not move their median
_ARTEFACT_DB = 9.0  # above the loudest such median
_FEWEST, _SHARE = 12, 0.02  # an artefact has at most so many frames, or this share of them
_RAISED_DB = 3.0  # artefacts that raise the level by less are left in
_CONTRAST_DB = 6.0  # from the floor of the other frames to their loudest median; less is noise without speech


@dataclass(frozen=True)
class NormalisedWave:
    """A wave at the common level.

    Attributes:
        wav: (N,) float32, mean 0, peak at most 1.
        gain_db: what was applied; `wav * 10 ** (-gain_db / 20)` is the wave as it came, less its offset.
    """

    wav: NDArray[np.float32]
    gain_db: float


def frame_samples(sample_rate: int) -> int:
    """Samples of a frame of 20 ms, at least one."""
    return max(1, round(FRAME_SECONDS * sample_rate))


def frame_powers(wav: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Mean square of consecutive frames of 20 ms: (N,) -> (N // frame,), at least one."""
    size = max(1, min(len(wav), frame_samples(sample_rate)))
    frames = wav[: len(wav) // size * size].reshape(-1, size)
    return np.asarray(np.einsum("fn,fn->f", frames, frames) / np.float32(size))


def active_power(powers: NDArray[np.float32]) -> float:
    """Mean power of the frames that are speech: (F,) in their order -> ().

    Pauses do not count, which are more than 10 dB below the mean (the relative gate of ITU-R BS.1770-4), and neither
    do clicks, knocks and bursts where they alone would set the level.
    """
    level, artefacts = _gated_power(powers), _artefacts(powers)
    if not artefacts.any():
        return level
    without = _gated_power(powers[~artefacts])
    return without if without * 10 ** (_RAISED_DB / 10) < level else level


def sustained_power(powers: NDArray[np.float32], frames: int) -> float:
    """Power of the loudest sound that lasts, the highest median of so many consecutive frames: (F,) -> ()."""
    return float(np.median(sliding_window_view(powers, min(frames, len(powers))), axis=1).max())


def _gated_power(powers: NDArray[np.float32]) -> float:
    mean = float(powers.mean(dtype=np.float64))
    active = powers[powers >= mean * 10 ** (-GATE_DB / 10)]
    return max(float(active.mean(dtype=np.float64)), TINY_POWER) if len(active) else TINY_POWER


def _artefacts(powers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Frames that are far louder than anything that lasts, few, and not all there is beside noise: (F,) -> (F,)."""
    none = np.zeros(len(powers), dtype=np.bool_)
    if len(powers) < _SUSTAINED_FRAMES:
        return none
    sustained = sustained_power(powers, _SUSTAINED_FRAMES)
    found = powers > sustained * 10 ** (_ARTEFACT_DB / 10)
    if not found.any() or found.sum() > max(_FEWEST, _SHARE * len(powers)):
        return none
    floor = float(np.quantile(powers[~found], 0.1))
    return found if sustained > max(floor, TINY_POWER) * 10 ** (_CONTRAST_DB / 10) else none


def normalising_gain_db(power: float, peak: float = 0.0) -> float:
    """Gain that brings active frames of such power to -26 dBFS.

    It is at most 40 dB, and never so much that the peak passes full scale.
    """
    peak_db = 20 * np.log10(max(peak, TINY_POWER))
    return float(min(TARGET_DBFS - 10 * np.log10(power), MAX_GAIN_DB, -peak_db))


def normalise(wav: NDArray[np.float32], sample_rate: int) -> NormalisedWave:
    """Remove the offset and bring the active frames to the common RMS: (N,) -> (N,).

    Args:
        wav: samples, full scale 1.
        sample_rate: Hz.
    """
    centred = wav - np.float32(wav.mean(dtype=np.float64))
    power = active_power(frame_powers(centred, sample_rate))
    gain_db = normalising_gain_db(power, max(float(centred.max()), -float(centred.min())))
    centred *= np.float32(10 ** (gain_db / 20))
    return NormalisedWave(wav=centred, gain_db=gain_db)


class LevelMeter:
    """Offset, active level and peak of a wave, from its blocks; keeps 12 bytes for every 20 ms.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate, self.frame_samples = sample_rate, frame_samples(sample_rate)
        self.samples, self.low, self.high = 0, np.inf, -np.inf
        self._sum = 0.0
        self._rest = np.zeros(0, np.float32)
        self._powers: list[NDArray[np.float32]] = []
        self._means: list[NDArray[np.float32]] = []
        self._peaks: list[NDArray[np.float32]] = []

    def update(self, block: NDArray[np.float32]) -> None:
        """Measure the next block: (n,)."""
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
        """Mean square and mean of every whole frame, or of all there is of a shorter wave: -> (F,), (F,)."""
        if not self._powers:
            rest = self._rest.astype(np.float64) if len(self._rest) else np.zeros(1)
            return np.array([np.square(rest).mean()]), np.array([rest.mean()])
        powers, means = (np.concatenate(parts).astype(np.float64) for parts in (self._powers, self._means))
        return powers, means

    @property
    def frame_peaks(self) -> NDArray[np.float32]:
        """Largest magnitude of every whole frame, and of what follows the last one: -> (F + 1,)."""
        return np.concatenate([*self._peaks, [np.abs(self._rest).max(initial=0.0)]]).astype(np.float32)

    @property
    def centred_powers(self) -> NDArray[np.float32]:
        """Mean square of every frame of the wave less its offset: -> (F,)."""
        powers, means = self.frames
        return np.maximum(powers - 2 * self.offset * means + self.offset**2, 0.0).astype(np.float32)

    @property
    def offset(self) -> float:
        """Mean of all samples."""
        return self._sum / max(1, self.samples)

    @property
    def peak(self) -> float:
        """Largest magnitude of all samples."""
        return max(self.high, -self.low) if self.samples else 0.0

    @property
    def power(self) -> float:
        """Mean power of the frames that are not pauses, see `active_power`."""
        return active_power(self.frames[0].astype(np.float32))

    @property
    def centred_power(self) -> float:
        """Mean power of the frames that are not pauses, of the wave less its offset."""
        return active_power(self.centred_powers)

    @property
    def gain_db(self) -> float:
        """Gain that `normalise` would give the wave."""
        return normalising_gain_db(self.centred_power, max(self.high - self.offset, self.offset - self.low))


# How far a converted frame may stand above the loudest source frame nearby, both relative to the level of their own
# speech: conversions of speech stay within 12 dB (the demo's clips), so that more is a burst.
_HEADROOM_DB = 15.0
_FLOOR_DB = -25.0  # of the speech: what is quieter is never turned down, however quiet the source is
_NEARBY_FRAMES = 4  # 80 ms on both sides: a vocoder's window, and what a model moves


def envelope_gains(powers: NDArray[np.float32], source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gain of every frame that keeps it below the source's envelope: (F,), (F',) -> (F,), at most 1.

    Both are taken relative to the level of their own speech.
    """
    allowed = np.full(len(powers), source[-1] if len(source) else 0.0)
    allowed[: len(source)] = source[: len(powers)]
    allowed = _extreme_nearby(allowed / active_power(source), _NEARBY_FRAMES, np.maximum)
    allowed = np.maximum(allowed * 10 ** (_HEADROOM_DB / 10), 10 ** (_FLOOR_DB / 10))
    over = np.maximum(powers / active_power(powers) / allowed, 1.0)
    return _extreme_nearby(1 / np.sqrt(over), 1, np.minimum).astype(np.float32)


def _extreme_nearby(values: NDArray[np.float64], radius: int, extreme: np.ufunc) -> NDArray[np.float64]:
    """Extreme of each value and so many neighbours on both sides: (F,) -> (F,)."""
    padded = np.pad(values, radius, mode="edge")
    return np.asarray(
        extreme.reduce([padded[place : place + len(values)] for place in range(2 * radius + 1)])
    )


def apply_gains(
    wav: NDArray[np.float32], gains: NDArray[np.float32], size: int, start: int = 0
) -> NDArray[np.float32]:
    """Apply the gains of frames, interpolated between their middles: (n,), (F,) -> (n,).

    Args:
        wav: a block.
        gains: of all frames.
        size: samples of a frame.
        start: place of the block's first sample in the whole.
    """
    centres = (np.arange(len(gains)) + 0.5) * size
    places = np.arange(start, start + len(wav))
    return wav * np.interp(places, centres, gains).astype(np.float32)


MAX_CORRECTION_DB = 20.0
"""A model that came out quieter than this has said nothing worth amplifying."""


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
    """The gains by which `restore_level` makes a conversion as loud as its source, for blocks as well.

    Args:
        source: (F,) powers of the frames of the source, less its offset.
        gain_db: of those powers over the source as it came.
        converted: has measured the conversion, at any level.
        wav: (N,) the conversion, where it is at hand: then its peak once bursts are bounded is measured, and
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
        power, self._gains, self._frame = converted.power, None, converted.frame_samples
        gains = envelope_gains(powers, source)
        if (gains < 1).any():
            self._gains, power = gains, active_power(powers * gains**2)
            if wav is not None:
                peak = np.abs(apply_gains(wav, gains, self._frame)).max()
            else:
                # Between the middles of two frames the gain lies between theirs: at most the larger neighbour's.
                nearby = np.maximum(np.r_[gains, gains[-1:]], np.r_[gains[:1], gains])
                nearby[:-1] = np.maximum(nearby[:-1], np.r_[gains[1:], gains[-1:]])
                peak = (converted.frame_peaks * nearby).max()
        correction_db = min(10 * np.log10(active_power(source) / power), MAX_CORRECTION_DB) - gain_db
        peak_db = 20 * np.log10(max(float(peak), 1e-10)) + correction_db
        if peak_db > 0:
            warnings.warn(
                f"turned down by {peak_db:.1f} dB to stay within full scale", ClippingWarning, stacklevel=3
            )
            correction_db -= peak_db
        self._factor = np.float32(10 ** (correction_db / 20))

    @classmethod
    def from_meters(cls, source: LevelMeter, converted: LevelMeter) -> LevelCorrection:
        """Correction where source and conversion have both gone by in blocks."""
        powers = source.centred_powers * np.float32(10 ** (source.gain_db / 10))
        return cls(powers, source.gain_db, converted)

    def apply(self, wav: NDArray[np.float32], start: int = 0) -> NDArray[np.float32]:
        """Correct the wave, or the block of it that begins with sample `start`: (n,) -> (n,)."""
        if self._gains is not None:
            wav = apply_gains(wav, self._gains, self._frame, start)
        return self._factor * wav


SILENCE_DB = 50.0
"""Frames this far below the speech are turned down further, a decibel for each below: networks have learned no silence
deeper than the pauses of their corpus, and fill it with hiss, 40 to 45 dB below the speech."""
_MUTED_DB = 60.0  # turned down by more, it is digital silence
_HANG_FRAMES = 3  # 60 ms on either side of what is louder: soft onsets, endings, and what the network smears


class SilenceEnvelope:
    """Factors that keep the silences of a source silent in its conversion; 1 wherever it speaks.

    Args:
        powers: (F,) of the source's frames, less their means: a constant offset is silence too.
        frame: samples in each.
    """

    def __init__(self, powers: NDArray[np.floating[Any]], frame: int) -> None:
        depth_db = 10 * np.log10(np.maximum(powers, TINY_POWER) / active_power(powers.astype(np.float32)))
        gains_db = np.minimum(0.0, depth_db + SILENCE_DB)
        gains = np.where(gains_db < -_MUTED_DB, 0.0, 10 ** (gains_db / 20))
        gains = sliding_window_view(np.pad(gains, _HANG_FRAMES, mode="edge"), 2 * _HANG_FRAMES + 1).max(1)
        # Straight lines between the middles of frames by way of their edges, where the lesser neighbour counts: a frame
        # that is silent is so from end to end.
        edges = np.minimum(np.r_[gains[:1], gains], np.r_[gains, gains[-1:]])
        self._nodes = np.arange(2 * len(gains) + 1) * (frame / 2)
        self._values = np.empty(2 * len(gains) + 1)
        self._values[::2], self._values[1::2] = edges, gains

    @classmethod
    def from_wave(cls, source: NDArray[np.float32], sample_rate: int) -> SilenceEnvelope:
        """Envelope of a wave that is at hand: (N,)."""
        frame = max(1, min(len(source), frame_samples(sample_rate)))
        frames = source[: len(source) // frame * frame].reshape(-1, frame)
        return cls(frames.var(axis=1, dtype=np.float64), frame)

    @classmethod
    def from_meter(cls, source: LevelMeter) -> SilenceEnvelope:
        """Envelope of a wave that has gone by in blocks."""
        powers, means = source.frames
        return cls(np.maximum(powers - means**2, 0.0), source.frame_samples)

    def apply(self, wav: NDArray[np.float32], start: int = 0) -> NDArray[np.float32]:
        """Multiply a wave, or the block of it that begins with sample `start`: (n,) -> (n,)."""
        spacing = self._nodes[1]
        first, last = int(start / spacing), int((start + len(wav)) / spacing) + 2
        nodes, values = self._nodes[first:last], self._values[first:last]
        if not len(nodes):
            nodes, values = self._nodes[-1:], self._values[-1:]
        if (values == 1).all():
            return wav
        factors = np.interp(np.arange(start, start + len(wav)), nodes, values)
        return (wav * factors).astype(np.float32)
