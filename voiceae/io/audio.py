"""Audio files and waves in memory to waves and back; whatever is wrong with a recording ends here in one line."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from voiceae.errors import AudioError, ClippingWarning, OutputError, VoiceAEError
from voiceae.io.filesystem import as_path, atomic_path, kind_of, require_new
from voiceae.io.recording import Recording, RecordingInfo, opened
from voiceae.io.validation import AudioValidator, peak
from voiceae.io.writer import encoder, require_format

_SPEECH_RATE = 16000  # Hz; recordings at less lack part of the band up to 8 kHz that the models speak in
_BLOCK = 1 << 20  # samples of a wave in memory per block, 48 s at 22,050 Hz
_SOURCES = "give a path, an Audio, or (wav, sample_rate)"
_CHARACTERS_SHOWN = 60  # of a value in a message
_MAX_SECONDS = 24 * 3600.0  # of a recording that is held whole: 7.6 GB at 22,050 Hz


class UpperBandWarning(UserWarning):
    """Warns of a recording whose sample rate leaves out part of the speech band."""


@dataclass(frozen=True)
class Audio:
    """A mono wave and its rate.

    Attributes:
        wav: (N,) float32, full scale 1.
        sample_rate: Hz.
    """

    wav: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration of the wave in seconds."""
        return len(self.wav) / self.sample_rate


def read(path: str | Path) -> Audio:
    """Read a file at its own rate, as one channel (`voiceae.io.channels`): -> wav (N,).

    Args:
        path: WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, AU, CAF or W64, whatever its name, or a pipe that holds one.

    Raises:
        AudioError: for no such file, a folder, and what is not audio, truncated, empty, silent or not finite.
    """
    return _decode(Path(path), None, 0.0, "audio")


def load(
    source: str | Path | Audio, sample_rate: int, *, min_seconds: float = 0.0, what: str = "audio"
) -> Audio:
    """Read a file, or take a wave, at a given rate: -> wav (N,).

    Files are resampled while they are decoded, so that only the result is held whole.

    Args:
        source: a file as for `read`, or a wave in memory.
        sample_rate: Hz of the result.
        min_seconds: shortest duration that is accepted.
        what: what the audio is for, for the messages ("a source", "a target").

    Raises:
        AudioError: as `read`, or for less than `min_seconds`.
    """
    if not isinstance(source, Audio):
        return _decode(Path(source), sample_rate, min_seconds, what)
    wav = np.asarray(source.wav)
    if wav.ndim != 1 or not np.issubdtype(wav.dtype, np.floating):
        raise AudioError(
            f"wave in memory: {wav.dtype} of shape {wav.shape}; give one channel of floats, full scale 1"
        )
    check = AudioValidator("wave in memory", source.sample_rate, min_seconds, what)
    wav = np.ascontiguousarray(wav, dtype=np.float32)
    check.update(wav)
    check.close()
    _warn_narrow("wave in memory", source.sample_rate, sample_rate)
    if source.sample_rate != sample_rate:
        wav = soxr.resample(wav, source.sample_rate, sample_rate)
    return Audio(wav=wav, sample_rate=sample_rate)


def write(path: str | Path, audio: Audio, force: bool = False) -> None:
    """Write a wave; the file appears only when it is complete: wav (N,).

    16-bit PCM for WAV and FLAC. A wave beyond full scale is turned down to fit, with a warning, not clipped.

    Args:
        path: its suffix chooses the format, one of `SUFFIXES`.
        audio: the wave.
        force: overwrite an existing file.

    Raises:
        OutputError: for an existing file, an unknown suffix, a rate the format refuses, or a full disk.
    """
    path = Path(path)
    require_format(path)
    require_new(path, force)
    wav = np.asarray(audio.wav, dtype=np.float32)
    loudest = peak(wav)
    if not np.isfinite(loudest):
        raise OutputError(f"{path}: not written: the wave has samples that are NaN or infinite")
    if loudest > 1.0:
        warnings.warn(
            f"{path}: turned down by {20 * np.log10(loudest):.1f} dB to fit", ClippingWarning, stacklevel=2
        )
        wav = wav / np.float32(loudest)
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        encoder(file, audio.sample_rate, path) as append,
    ):
        append(wav)


def info(path: str | Path) -> RecordingInfo:
    """Container, codec, rate, channels and duration of a file, without decoding it.

    Raises:
        AudioError: for no such file, a folder, and what is not audio, or visibly not whole.
    """
    with opened(Path(path), "a recording") as recording:
        return recording.info


def blocks(
    source: str | Path | Audio, sample_rate: int, *, min_seconds: float = 0.0, what: str = "audio"
) -> Iterator[NDArray[np.float32]]:
    """What `load` gives, in blocks, so that it is never held whole: -> (n,), ...

    Errors that only the end can show (too short, silent, truncated) are raised after the last block.

    Args:
        source: as for `load`.
        sample_rate: Hz of the result.
        min_seconds: shortest duration that is accepted.
        what: what the audio is for, for the messages.

    Raises:
        AudioError: as `load`.
    """
    if isinstance(source, Audio):
        wav = load(source, sample_rate, min_seconds=min_seconds, what=what).wav
        yield from (wav[start : start + _BLOCK] for start in range(0, len(wav), _BLOCK))
        return
    with opened(Path(source), what) as recording:
        yield from _checked_blocks(recording, sample_rate, min_seconds, what)


def _decode(path: Path, sample_rate: int | None, min_seconds: float, what: str) -> Audio:
    parts: list[NDArray[np.float32]] = []
    with opened(path, what) as recording:
        rate, samples = sample_rate or recording.sample_rate, 0
        for part in _checked_blocks(recording, rate, min_seconds, what):
            samples += len(part)
            if samples > _MAX_SECONDS * rate:
                raise AudioError(
                    f"{path}: lasts longer than {_MAX_SECONDS / 3600:g} hours, which is more than {what} may; cut it"
                )
            parts.append(part)
    return Audio(wav=parts[0] if len(parts) == 1 else np.concatenate(parts), sample_rate=rate)


def _checked_blocks(
    recording: Recording, sample_rate: int, min_seconds: float, what: str
) -> Iterator[NDArray[np.float32]]:
    """Blocks of a recording, resampled; checked as they come and as a whole: -> (n,), ..."""
    own_rate, name = recording.sample_rate, str(recording.path)
    stream = (
        soxr.ResampleStream(own_rate, sample_rate, 1, dtype="float32") if sample_rate != own_rate else None
    )
    validator = AudioValidator(name, own_rate, min_seconds, what)
    for block in recording.blocks():
        validator.update(block)
        yield stream.resample_chunk(block) if stream else block
    validator.close()
    if stream:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
    _warn_narrow(name, own_rate, sample_rate)


def _warn_narrow(name: str, own_rate: int, target: int) -> None:
    if own_rate < min(_SPEECH_RATE, target):
        warnings.warn(
            f"{name}: recorded at {own_rate} Hz, so nothing above {own_rate // 2} Hz is there; "
            "expect a dull voice",
            UpperBandWarning,
            stacklevel=2,
        )


def header_seconds(source: str | Path | Audio) -> float:
    """Duration by a file's header, seconds; 0 when it cannot be read, infinite when the header does not say."""
    if isinstance(source, Audio):
        return source.seconds
    try:
        return info(source).seconds
    except AudioError:
        return 0.0


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


def _checked_wave(wav: Any, sample_rate: Any) -> Audio:
    """One channel, the mean of several: (N,) or (channels, N)."""
    if hasattr(sample_rate, "item") and getattr(sample_rate, "ndim", None) == 0:
        sample_rate = sample_rate.item()
    known = isinstance(sample_rate, int | float) and not isinstance(sample_rate, bool)
    if not known or not 0 < sample_rate < math.inf or sample_rate != int(sample_rate):
        shown = repr(sample_rate)[:_CHARACTERS_SHOWN]
        raise AudioError(f"wave in memory: a sample rate of {shown}; give a whole number of Hz above zero")
    array = as_numbers(wav, "wave in memory", AudioError, "fiubc")
    if array.ndim == 2 and 0 < array.shape[0] <= array.shape[1] and array.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            array = array.mean(axis=0)
    if array.ndim != 1 or array.dtype.kind != "f":
        raise AudioError(
            f"wave in memory: {array.dtype} of shape {array.shape}; give one channel of floats, full scale 1"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as that
        return Audio(wav=np.ascontiguousarray(array, dtype=np.float32), sample_rate=int(sample_rate))


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


def name_of(source: Path | Audio) -> str:
    """Name of a recording in messages."""
    return "wave in memory" if isinstance(source, Audio) else str(source)
