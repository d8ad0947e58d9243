"""Voice activity: active frames of a mel, where speech begins and ends in a wave, and whether its pitch is reliable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.loudness import TINY_POWER, active_power, frame_powers

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", NDArray[Any], Tensor)

SPEECH_RANGE_NATS = 5.0
"""Frames more than this below the loudest are pauses: in magnitude 43 dB, so that the weakest consonant counts, which
is 28 dB below the strongest vowel (Fletcher 1929), also in a word that is said softly."""
MIN_PITCH_CONFIDENCE = 0.22
"""Confidence below which a pitch centre is not used. Of 347 clips of 70 unseen speakers (LibriSpeech, speechocean762,
Common Voice) the lowest is .254; whispers made of them with WORLD reach .18, white noise .17, fundamentals of 45 and
55 Hz .12, creak of 30 to 50 Hz .10."""
_MARGIN_SECONDS = 0.1  # left before and after the speech: closures of stops last 50 to 100 ms
# Of pink noise, 99 frames of 100 are within 3.4 dB of the tenth percentile, of brown noise 7.7 dB
_ABOVE_NOISE_DB = 6.0
_SHALLOWEST_DB, _DEEPEST_DB = 25.0, 45.0  # below speech level: a soft consonant stays, breath far away goes


def active_frames(mel: Array, mask: Array | None = None) -> Array:
    """Frames that are not pauses: natural-log mel (..., M, T), mask (..., T) -> (..., T) bool, of numpy or torch.

    A frame's level is the logarithm of the sum over its bins. Of NaN no frame is active.
    """
    # Both libraries have these functions under these names. torch is not imported for the sake of a numpy array:
    # the ONNX runtime goes without it.
    xp: Any = np
    if not isinstance(mel, np.ndarray):
        import torch as xp
    highest = xp.amax(mel, -2)
    level = highest + xp.log(xp.exp(mel - highest[..., None, :]).sum(-2))
    if mask is not None:
        level = xp.where(mask > 0, level, -xp.inf)
    active: Array = level > xp.amax(level, -1)[..., None] - SPEECH_RANGE_NATS
    return active


def trim(wav: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Cut leading and trailing silence, all but 0.1 s: (N,) -> (N',), a view.

    The threshold stands 6 dB above the noise floor (the tenth percentile of the frames), yet 45 to 25 dB
    below the speech level, so that it follows the recording and not the full scale.
    """
    first, last = trimmed_interval(wav, sample_rate)
    return wav[first:last]


def trimmed_interval(wav: NDArray[np.float32], sample_rate: int) -> tuple[int, int]:
    """First sample that `trim` leaves, and the one after the last: (N,) -> (), ()."""
    first, last = speech_bounds(wav, sample_rate)
    margin = round(_MARGIN_SECONDS * sample_rate)
    return max(0, first - margin), min(len(wav), last + margin)


def speech_bounds(wav: NDArray[np.float32], sample_rate: int) -> tuple[int, int]:
    """First sample of the speech and the one after its last: (N,) -> (), ()."""
    powers = frame_powers(wav, sample_rate)
    speech_db = 10 * np.log10(active_power(powers))
    floor_db = 10 * np.log10(max(float(np.quantile(powers, 0.1)), TINY_POWER))
    threshold_db = np.clip(floor_db + _ABOVE_NOISE_DB, speech_db - _DEEPEST_DB, speech_db - _SHALLOWEST_DB)
    # The lower of each frame and its louder neighbour, so that single loud frames, which are clicks, vanish.
    steady = powers
    if len(powers) >= 3:
        padded = np.pad(powers, 1)
        steady = np.minimum(powers, np.maximum(padded[:-2], padded[2:]))
    active = np.flatnonzero(steady > 10 ** (threshold_db / 10))
    if not len(active):
        return 0, len(wav)
    size = len(wav) // len(powers)
    last = len(wav) if active[-1] == len(powers) - 1 else int(active[-1] + 1) * size
    return int(active[0]) * size, last
