"""The converted voice is as loud as the source was."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from voiceae.audio.io import ClippingWarning
from voiceae.audio.level import Levelled, active_power, frame_powers
from voiceae.audio.meter import LevelMeter

MAX_CORRECTION_DB = 20.0
"""A model that came out quieter than this has said nothing worth amplifying."""


def at_level_of(wav: NDArray[np.float32], source: Levelled, sample_rate: int) -> NDArray[np.float32]:
    """Give a wave the active level that the source had before it was normalised: (N,) -> (N,).

    A peak beyond full scale turns the whole wave down, with a warning; nothing is clipped.

    Args:
        wav: converted, at any level.
        source: the normalised source and the gain that made it so.
        sample_rate: Hz, of both.
    """
    wanted, came = (active_power(frame_powers(each, sample_rate)) for each in (source.wav, wav))
    gain_db = _gain_db(10 * np.log10(wanted / came), source.gain_db, float(np.abs(wav).max()))
    return np.float32(10 ** (gain_db / 20)) * wav


def level_dbfs(source: Levelled, sample_rate: int) -> float:
    """Active level of a source as it came."""
    return float(10 * np.log10(active_power(frame_powers(source.wav, sample_rate))) - source.gain_db)


def gain_db_to(source: LevelMeter, converted: LevelMeter) -> float:
    """What `at_level_of` would apply, for waves that went by in blocks.

    Args:
        source: has heard the source as it came.
        converted: has heard what became of it, at any level.
    """
    wanted_db = 10 * np.log10(source.centred_power) + source.gain_db
    return _gain_db(wanted_db - 10 * np.log10(converted.power), source.gain_db, converted.peak)


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
