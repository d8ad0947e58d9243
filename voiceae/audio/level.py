"""Level: offset removed, speech brought to -26 dBFS, the gain handed over so that it can be taken back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

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
class Levelled:
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


def lasting_power(powers: NDArray[np.float32], frames: int) -> float:
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
    lasting = lasting_power(powers, _LASTING_FRAMES)
    found = powers > lasting * 10 ** (_ARTEFACT_DB / 10)
    if not found.any() or found.sum() > max(_FEWEST, _SHARE * len(powers)):
        return none
    floor = float(np.quantile(powers[~found], 0.1))
    return found if lasting > max(floor, TINY_POWER) * 10 ** (_CONTRAST_DB / 10) else none


def normalise(wav: NDArray[np.float32], sample_rate: int, target_dbfs: float = TARGET_DBFS) -> Levelled:
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
    return Levelled(wav=centred, gain_db=float(gain_db))
