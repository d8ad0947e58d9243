"""Arguments of the public methods, brought to the types that the rest works with, or refused in one line."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import AudioError, ConfigError, EmbeddingError, VoiceAEError
from voiceae.io.audio import Audio
from voiceae.io.filesystem import as_path, kind_of

_SOURCES = "give a path, an Audio, or (wav, sample_rate)"
_LARGEST_NATS = (
    30.0  # of a log-mel: exp(30)^2 = 1e26, so that squares and sums of magnitudes are within float32
)
_LEAST_NATS = -1e30  # in the place of what float32 cannot hold; its exponential is 0 all the same
_CHARACTERS_SHOWN = 60  # of a value in a message


def as_numbers(value: Any, what: str, error: type[VoiceAEError], kinds: str = "fiu") -> NDArray[Any]:
    """Numpy array of an array, a tensor of any device, type and strides, or nested lists of numbers.

    Args:
        value: what came.
        what: name of the argument, for the message.
        error: raised when it is no array of numbers.
        kinds: numpy's letters of the types that are accepted.

    Raises:
        error: when it is no array of such numbers.
    """
    try:
        if hasattr(value, "detach"):  # a tensor, asked without importing torch
            value = value.detach().cpu()
            value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as reason:
        line = (str(reason).splitlines() or [type(reason).__name__])[0]
        raise error(f"{what}: {kind_of(value)} is no array of numbers ({line})") from None
    if array.dtype.kind not in kinds:
        expected = "floats" if kinds == "f" else "numbers"
        raise error(f"{what}: {array.dtype} of shape {array.shape} instead of an array of {expected}")
    return array


def as_source(source: Any, what: str = "a source") -> Path | Audio:
    """A recording: a file's path, or one channel in memory with its rate.

    Args:
        source: a path, an `Audio`, or a wave (N,) or (channels, N) of floats with its sample rate.
        what: it is for, for the messages.

    Raises:
        AudioError: for anything else, or a rate that is none.
    """
    if isinstance(source, Audio):
        return _checked_wave(source.wav, source.sample_rate)
    if isinstance(source, str | os.PathLike):
        return as_path(source, what, AudioError)
    if isinstance(source, tuple | list) and len(source) == 2 and not isinstance(source[0], str | os.PathLike):
        return _checked_wave(*source)
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        raise AudioError(f"{what}: a wave without its sample rate; {_SOURCES}")
    opened = isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read")
    hint = "; read it first, as in soundfile.read(file)" if opened else ""
    raise AudioError(f"{what}: {kind_of(source)} is no recording; {_SOURCES}{hint}")


def as_strength(matching: Any, default: float) -> float:
    """Strength of statistics matching, 0 to 1; `default` for None.

    Raises:
        ConfigError: for anything else.
    """
    if matching is None:
        return default
    number = as_number(matching, "matching")
    if not 0 <= number <= 1:
        raise ConfigError(f"matching {matching}: give a number from 0 to 1")
    return number


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


def as_weights(weights: Any, count: int) -> list[float]:
    """One finite number for each of `count` voices, of a sum above zero.

    Raises:
        EmbeddingError: for anything else.
    """
    numbers = as_numbers(weights, "weights", EmbeddingError, "fiub").astype(np.float64)
    if numbers.shape != (count,):
        size = f"{len(numbers)} weights" if numbers.ndim == 1 else f"weights of shape {numbers.shape}"
        raise EmbeddingError(f"{size} for {count} voices; give one number each")
    if not np.isfinite(numbers).all():
        raise EmbeddingError(f"weights {numbers.tolist()}: give finite numbers")
    with np.errstate(over="ignore"):
        total = numbers.sum()
    if not 1e-6 * np.abs(numbers).max() < total < np.inf:
        raise EmbeddingError(
            f"the weights sum to {total:g}: no voice is left; they must sum to more than zero"
        )
    return [float(number) for number in numbers]


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


def finite(wav: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pass a vocoder's wave on if it is finite.

    Raises:
        AudioError: when it is not finite: the mel had values that no speech has.
    """
    if not np.isfinite(wav).all():
        raise AudioError("the vocoder gave samples that are NaN or infinite: its mel is not one of speech")
    return wav


def name_of(source: Path | Audio) -> str:
    """Name of a recording in messages."""
    return "wave in memory" if isinstance(source, Audio) else str(source)


def _checked_wave(wav: Any, sample_rate: Any) -> Audio:
    """One channel, the mean of several: (N,) or (channels, N)."""
    rate = _as_rate(sample_rate)
    array = as_numbers(wav, "wave in memory", AudioError, "fiubc")
    if array.ndim == 2 and 0 < array.shape[0] <= array.shape[1] and array.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            array = array.mean(axis=0)
    if array.ndim != 1 or array.dtype.kind != "f":
        raise AudioError(
            f"wave in memory: {array.dtype} of shape {array.shape}; give one channel of floats, full scale 1"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as that
        return Audio(wav=np.ascontiguousarray(array, dtype=np.float32), sample_rate=rate)


def _as_rate(sample_rate: Any) -> int:
    """Whole and positive, in Hz."""
    if hasattr(sample_rate, "item") and getattr(sample_rate, "ndim", None) == 0:
        sample_rate = sample_rate.item()
    known = isinstance(sample_rate, int | float) and not isinstance(sample_rate, bool)
    if not known or not 0 < sample_rate < math.inf or sample_rate != int(sample_rate):
        shown = repr(sample_rate)[:_CHARACTERS_SHOWN]
        raise AudioError(f"wave in memory: a sample rate of {shown}; give a whole number of Hz above zero")
    return int(sample_rate)
