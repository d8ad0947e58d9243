"""What can be given to the public methods: sources, targets and what these come down to, numbers, mels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.embedding_files import is_stored, read_stored
from voiceae.conversion.speaker_profile import SpeakerProfile, checked_embedding, checked_profile
from voiceae.errors import AudioError, ConfigError, EmbeddingError
from voiceae.io.audio import Audio, as_numbers
from voiceae.io.filesystem import kind_of

if TYPE_CHECKING:
    from torch import Tensor  # only named: who goes without torch reads this file too

    from voiceae.conversion.backends.base import Backend

Source: TypeAlias = str | Path | Audio | tuple[NDArray[Any], int]
"""A file, an `Audio`, or a wave (N,) or (channels, N) with its sample rate."""
Target: TypeAlias = "Source | NDArray[Any] | Tensor | SpeakerProfile | Sequence[Any]"
"""A recording of the voice, an embedding (S,), a stored one (`FILE.npz:NAME`), or several to average."""

# Of a log-mel: exp(30)^2 = 1e26, so that squares and sums of magnitudes are within float32.
_LARGEST_NATS = 30.0
_LEAST_NATS = -1e30  # in the place of what float32 cannot hold; its exponential is 0 all the same


def is_wave(value: object) -> bool:
    """Whether a tuple is a wave with its sample rate rather than two targets."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    rate = value[1]
    return isinstance(rate, int | float) or (hasattr(rate, "item") and getattr(rate, "ndim", None) == 0)


def first_recording(target: Target) -> Source | None:
    """The first of the targets that is a recording rather than an embedding; None when none is."""
    if isinstance(target, Audio) or (isinstance(target, tuple) and is_wave(target)):
        return target
    if isinstance(target, str | Path):
        return None if is_stored(str(target)) else target
    if isinstance(target, list | tuple):
        return next((found for found in map(first_recording, target) if found is not None), None)
    return None


def as_targets(targets: Any) -> Sequence[Any]:
    """Several targets, at least one; a single one counts as a list of it.

    Raises:
        EmbeddingError: for none.
    """
    many = list(targets) if isinstance(targets, dict | set | frozenset) else targets
    if not isinstance(many, list | tuple) or is_wave(many):
        many = [targets]
    if not len(many):
        raise EmbeddingError("no targets; give at least one")
    return many


def known_voice(
    target: Any, listen: Callable[[Any], SpeakerProfile], backend: Backend
) -> SpeakerProfile | None:
    """A target that needs no hearing itself; None for a recording.

    Args:
        target: whatever may be given as one.
        listen: hears each one of several.
        backend: the model, whose fingerprint a stored voice must carry, if it carries any, and whose sizes all have.

    Raises:
        EmbeddingError: for an embedding that cannot be used.
    """
    sizes = backend.embedding_size, backend.spec.n_mels, backend.timbre_dim
    if isinstance(target, SpeakerProfile):
        return checked_profile(target, "target", *sizes)
    if isinstance(target, np.ndarray) or hasattr(target, "detach"):
        return SpeakerProfile(checked_embedding(target, "target", sizes[0]))
    if isinstance(target, str | Path) and is_stored(str(target)):
        stored = read_stored(str(target), backend.fingerprint)
        return checked_profile(
            replace(stored, embedding=checked_embedding(stored.embedding, str(target), sizes[0])),
            str(target),
            *sizes,
        )
    if isinstance(target, list | tuple) and not is_wave(target):
        return SpeakerProfile.mean([listen(one) for one in as_targets(target)])
    return None


def as_number(value: Any, what: str) -> float:
    """One finite number, as a float.

    Raises:
        ConfigError: for NaN, infinity, and what is no number.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bool | complex) or not isinstance(value, int | float):
        raise ConfigError(f"{what}: {kind_of(value)}; give a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{what} {number}: give a finite number")
    return number


def as_mel(mel: Any, n_mels: int) -> NDArray[np.float32]:
    """Log-mel (M, T) of finite float32.

    Raises:
        AudioError: for another shape, no frames, or values that no log-mel has.
    """
    array = as_numbers(mel, "mel", AudioError)
    if array.ndim != 2 or array.shape[0] != n_mels or not array.shape[1]:
        raise AudioError(f"mel of shape {array.shape}; the vocoder needs ({n_mels}, T)")
    if not (array < _LARGEST_NATS).all() or not (array > -np.inf).all():
        worst = "NaN" if np.isnan(array).any() else f"{array.min():g} to {array.max():g}"
        raise AudioError(f"mel: has values of {worst}; a log-mel is finite, in natural-log units")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(np.maximum(array, _LEAST_NATS), dtype=np.float32)
