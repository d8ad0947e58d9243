"""How far the pitch centre of a recording can be relied on: plain numpy, for the runtime without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOUD_NATS = 5.0
"""Frames more than this below the loudest count as pauses."""


CONFIDENT = 0.22
"""Confidence below which a pitch centre is not used. Of 347 clips of 70 unseen speakers (LibriSpeech, speechocean762,
Common Voice) the lowest is .254; whispers made of them with WORLD reach .18, white noise .17, fundamentals of 45 and
55 Hz .12, creak of 30 to 50 Hz .10."""
_LOUD = 5.0  # nats of power below the loudest frame, and
_COMPARED = 0.4  # share of the mel bins, from the lowest: as `MelPitch` takes them


def pitch_confidence(pitch: NDArray[Any], mel: NDArray[Any]) -> float:
    """What `MelPitch.confidence` says of one recording: (K, T), (M, T) -> 0 to 1; 1 without a pitch stream, K = 0."""
    if not pitch.shape[0]:
        return 1.0
    low = 2 * mel[: max(1, round(_COMPARED * len(mel)))].astype(np.float64)
    highest = low.max(0)
    level = highest + np.log(np.exp(low - highest).sum(0))
    return float(pitch.max(0)[level > level.max() - _LOUD].mean())
