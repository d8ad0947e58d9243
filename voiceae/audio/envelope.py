"""The envelope of one wave as a bound for another: what bursts out where the source was quiet is turned down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceae.audio.level import active_power

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


def with_gains(
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
