"""File <-> wave. Everything that can be wrong with a recording is said here, at the door, in one line."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceae.audio.containers import missing_bytes
from voiceae.audio.door import Door, peak
from voiceae.errors import AudioError, OutputError
from voiceae.files import atomic_path, exists, is_dir, require_new

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
_SPEECH_RATE = 16000  # Hz; below it a recording lacks part of the band up to 8 kHz
_BLOCK = 1 << 20  # samples decoded at a time, all channels together
_MP3_DELAY = 1152  # a decoder may swallow up to one frame
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


class UpperBandWarning(UserWarning):
    """A recording whose sample rate leaves out part of the speech band."""


class ClippingWarning(UserWarning):
    """A wave that had to be turned down to fit into a file."""


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
        """Duration."""
        return len(self.wav) / self.sample_rate


def read(path: str | Path) -> Audio:
    """Read a file at its own rate, channels averaged: -> wav (N,).

    Args:
        path: WAV, FLAC, Ogg (Vorbis or Opus) or MP3, of any rate, width and number of channels.

    Raises:
        AudioError: for no such file, a folder, and what is not audio, truncated, empty, silent or not finite.
    """
    return _decode(Path(path), None, 0.0, "audio")


def load(
    source: str | Path | Audio, sample_rate: int, *, min_seconds: float = 0.0, what: str = "audio"
) -> Audio:
    """Read a file, or take a wave, at the wanted rate: -> wav (N,).

    Long files are resampled while they are decoded, so that only the result is ever held whole.

    Args:
        source: a file as for `read`, or a wave in memory.
        sample_rate: Hz wanted.
        min_seconds: shortest duration that is any use.
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
    check = Door("wave in memory", source.sample_rate, min_seconds, what)
    wav = np.ascontiguousarray(wav, dtype=np.float32)
    check.hear(wav)
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
    encoded = _encode(wav, audio.sample_rate, path)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(encoded.getbuffer())


def require_format(path: Path) -> None:
    """Refuse a suffix that cannot be written.

    Raises:
        OutputError: naming those that can.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(SUFFIXES)}"
        )


def _encode(wav: NDArray[np.float32], sample_rate: int, path: Path) -> io.BytesIO:
    """Encoded in memory: libsndfile says nothing useful when a disk is full, the operating system does."""
    container, subtype = FORMATS[path.suffix.lower()]
    encoded = io.BytesIO()
    try:
        with soundfile.SoundFile(
            encoded, "w", samplerate=sample_rate, channels=1, format=container, subtype=subtype
        ) as file:
            for start in range(0, len(wav), _BLOCK >> 4):  # encoders of Ogg keep a whole write on the stack
                block = wav[start : start + (_BLOCK >> 4)]
                file.write(rounded(block) if subtype == "PCM_16" else block)
    except soundfile.LibsndfileError as error:
        raise OutputError(
            f"{path}: {path.suffix} at {sample_rate} Hz: {error}; write a .wav instead"
        ) from None
    return encoded


def rounded(wav: NDArray[np.float32]) -> NDArray[np.int16]:
    """Nearest 16-bit steps, where libsndfile would take the next lower ones: (n,) -> (n,)."""
    return np.clip(np.rint(wav * 32768), -32768, 32767).astype(np.int16)


def blocks(
    source: str | Path | Audio, sample_rate: int, *, min_seconds: float = 0.0, what: str = "audio"
) -> Iterator[NDArray[np.float32]]:
    """What `load` gives, a block at a time and never held whole: -> (n,), ...

    Whatever only the end can tell (too short, silent, cut off) is raised after the last block.

    Args:
        source: as for `load`.
        sample_rate: Hz wanted.
        min_seconds: shortest duration that is any use.
        what: what the audio is for, for the messages.

    Raises:
        AudioError: as `load`.
    """
    if isinstance(source, Audio):
        wav = load(source, sample_rate, min_seconds=min_seconds, what=what).wav
        yield from (wav[start : start + _BLOCK] for start in range(0, len(wav), _BLOCK))
        return
    path = Path(source)
    with _opened(path, what) as file:
        yield from _heard_blocks(file, path, sample_rate, min_seconds, what)


def _decode(path: Path, sample_rate: int | None, min_seconds: float, what: str) -> Audio:
    with _opened(path, what) as file:
        target = sample_rate or int(file.samplerate)
        parts = list(_heard_blocks(file, path, target, min_seconds, what))
    return Audio(wav=parts[0] if len(parts) == 1 else np.concatenate(parts), sample_rate=target)


@contextmanager
def _opened(path: Path, what: str) -> Iterator[soundfile.SoundFile]:
    """The file, open; what goes wrong with it is said in one line."""
    if is_dir(path):
        raise AudioError(f"{path}: is a folder; give one audio file")
    if not exists(path):
        raise AudioError(f"{path}: no such file; give the path of {what}")
    try:
        with _Stream(os.fsencode(path)) as file:
            yield file
    except soundfile.LibsndfileError as error:
        known = ", ".join(name.lstrip(".") for name in SUFFIXES)
        state = (
            "is empty (0 bytes)"
            if path.stat().st_size == 0
            else f"cannot be read as audio ({error.error_string})"
        )
        raise AudioError(f"{path}: {state}; give a whole file of {known}") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror or error}") from None


class _Stream(soundfile.SoundFile):
    """A file read from front to back: soundfile would seek after every read, which costs Ogg a twentieth."""

    def seekable(self) -> bool:
        return False


def _heard_blocks(
    file: soundfile.SoundFile, path: Path, sample_rate: int, min_seconds: float, what: str
) -> Iterator[NDArray[np.float32]]:
    own_rate = int(file.samplerate)
    missing = missing_bytes(path, file.format)
    if missing:
        raise AudioError(f"{path}: is truncated: {missing}; copy or download it again")
    stream = (
        soxr.ResampleStream(own_rate, sample_rate, 1, dtype="float32") if sample_rate != own_rate else None
    )
    door = Door(str(path), own_rate, min_seconds, what)
    try:
        for block in _mono_blocks(file):
            door.hear(block)
            yield stream.resample_chunk(block) if stream else block
    except soundfile.LibsndfileError as error:
        text = error.error_string.rstrip(".")
        raise AudioError(f"{path}: is truncated or damaged: {text}; copy or download it again") from None
    if file.frames < 1 << 40:  # an unknown length is given as the largest integer
        _require_all(path, door.samples, file)
    door.close()
    if stream:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
    _warn_narrow(str(path), own_rate, sample_rate)


def _mono_blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """Channels averaged, block by block: () -> (n,), ..."""
    weights = np.full(file.channels, 1 / file.channels, dtype=np.float32)
    size = max(1, min(_BLOCK // file.channels, file.frames))
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        yield block[:, 0] if file.channels == 1 else block @ weights


def _require_all(path: Path, samples: int, file: soundfile.SoundFile) -> None:
    slack = _MP3_DELAY if file.format == "MP3" else 0
    if samples + slack < file.frames:
        raise AudioError(
            f"{path}: is truncated: {file.frames} samples promised, {samples} are there; "
            "copy or download it again"
        )


def _warn_narrow(name: str, own_rate: int, target: int) -> None:
    if own_rate < min(_SPEECH_RATE, target):
        warnings.warn(
            f"{name}: recorded at {own_rate} Hz, so nothing above {own_rate // 2} Hz is there; "
            "expect a dull voice",
            UpperBandWarning,
            stacklevel=2,
        )
