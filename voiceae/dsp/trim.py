"""Silence at both ends is cut for training only; conversion keeps every sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.loudness import active_power, frame_powers

_MARGIN_SECONDS = 0.1
_ABOVE_NOISE_DB = 6.0
_SHALLOWEST_DB, _DEEPEST_DB = 25.0, 45.0  # below speech level: a soft consonant stays, breath far away goes
_TINY_POWER = 1e-20


def trim(wav: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Cut leading and trailing silence, all but 0.1 s: (N,) -> (N',), a view.

    The threshold stands 6 dB above the noise floor (the tenth percentile of the frames), yet 45 to 25 dB
    below the speech level, so that it follows the recording and not the full scale.
    """
    first, last = speech_bounds(wav, sample_rate)
    margin = round(_MARGIN_SECONDS * sample_rate)
    return wav[max(0, first - margin) : min(len(wav), last + margin)]


def speech_bounds(wav: NDArray[np.float32], sample_rate: int) -> tuple[int, int]:
    """First sample of the speech and the one after its last: (N,) -> (), ()."""
    powers = frame_powers(wav, sample_rate)
    speech_db = 10 * np.log10(active_power(powers))
    floor_db = 10 * np.log10(max(float(np.quantile(powers, 0.1)), _TINY_POWER))
    threshold_db = np.clip(floor_db + _ABOVE_NOISE_DB, speech_db - _DEEPEST_DB, speech_db - _SHALLOWEST_DB)
    loud = np.flatnonzero(_without_clicks(powers) > 10 ** (threshold_db / 10))
    if not len(loud):
        return 0, len(wav)
    size = len(wav) // len(powers)
    last = len(wav) if loud[-1] == len(powers) - 1 else int(loud[-1] + 1) * size
    return int(loud[0]) * size, last


def _without_clicks(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lesser of each frame and its louder neighbour: one loud frame alone is no speech; (F,) -> (F,)."""
    if len(powers) < 3:
        return powers
    padded = np.pad(powers, 1)
    return np.minimum(powers, np.maximum(padded[:-2], padded[2:]))
