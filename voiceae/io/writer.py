"""Writing of audio files in blocks: formats, rates of their codecs, and names that appear only when complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceae.errors import OutputError
from voiceae.io.filesystem import atomic_path, require_new

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
    ".aif": ("AIFF", "PCM_16"),
    ".au": ("AU", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
}
SUFFIXES = tuple(FORMATS)
_RATES = {  # Hz that a codec takes; all others take any
    "OPUS": (8000, 12000, 16000, 24000, 48000),  # RFC 6716, table 1
    # ISO/IEC 11172-3 and 13818-3, and the half rates of "MPEG-2.5"
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
_AT_ONCE = 1 << 16  # samples per write: libsndfile's Ogg encoders put a whole write on the stack


def require_format(path: Path) -> None:
    """Refuse a suffix that cannot be written.

    Raises:
        OutputError: naming those that can.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(SUFFIXES)}"
        )


def codec_rate(path: Path, sample_rate: int) -> int:
    """Rate that a file of this name is written at: the wave's own, or the next that its codec takes."""
    rates = _RATES.get(FORMATS[path.suffix.lower()][1], (sample_rate,))
    return min((rate for rate in rates if rate >= sample_rate), default=max(rates))


@contextmanager
def encoder(file: BinaryIO, sample_rate: int, path: Path) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """A function that appends blocks (n,) of at most full scale to a file.

    Where the codec does not take the rate, the wave is resampled to the next that it takes.

    Args:
        file: open for writing.
        sample_rate: Hz, of the blocks.
        path: its name; chooses the format, and stands in messages.

    Raises:
        OutputError: for a rate the format refuses.
        OSError: when the disk is full.
    """
    container, subtype = FORMATS[path.suffix.lower()]
    rate = codec_rate(path, sample_rate)
    resampler = soxr.ResampleStream(sample_rate, rate, 1, dtype="float32") if rate != sample_rate else None
    sink = _Sink(file)
    try:
        with soundfile.SoundFile(sink, "w", rate, 1, subtype=subtype, format=container) as encoded:

            def put(wav: NDArray[np.float32]) -> None:
                for start in range(0, len(wav), _AT_ONCE):
                    block = wav[start : start + _AT_ONCE]
                    encoded.write(rounded(block) if subtype == "PCM_16" else block)
                    sink.check()

            def append(wav: NDArray[np.float32]) -> None:
                put(np.clip(resampler.resample_chunk(wav), -1.0, 1.0) if resampler else wav)

            yield append
            if resampler:
                put(np.clip(resampler.resample_chunk(np.zeros(0, np.float32), last=True), -1.0, 1.0))
    except soundfile.LibsndfileError as error:
        sink.check()
        raise OutputError(
            f"{path}: {path.suffix} at {rate} Hz: {error.error_string}; write a .wav instead"
        ) from None
    sink.check()


def rounded(wav: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round to 16 bits, where libsndfile would truncate, a bias of half a step: (n,) -> (n,)."""
    return np.clip(np.rint(wav * 32768), -32768, 32767).astype(np.int16)


class _Sink:
    """File for libsndfile that keeps the error of a failed write, which libsndfile does not report."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self._error = self._error or error
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:  # seeking writes what is buffered
            self._error = self._error or error
            return 0

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Required by soundfile; the file is flushed when it is closed."""

    def check(self) -> None:
        if self._error is not None:
            raise self._error


@contextmanager
def atomic_writer(
    path: str | Path, sample_rate: int, force: bool = False
) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """A function that appends blocks (n,) of at most full scale; the file appears when the `with` block succeeds.

    Formats as `voiceae.io.audio.write` has them.

    Raises:
        OutputError: for an existing file, an unknown suffix, a rate the format refuses, or a full disk.
    """
    path = Path(path)
    require_format(path)
    require_new(path, force)
    with atomic_path(path) as temporary, block_writer(temporary, sample_rate, path) as append:
        yield append


@contextmanager
def block_writer(
    temporary: Path, sample_rate: int, path: Path
) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """As `atomic_writer`, into a temporary file that the caller renames.

    Args:
        temporary: is written.
        sample_rate: Hz.
        path: the later name; chooses the format, and stands in messages.

    Raises:
        OutputError: for a rate the format refuses.
        OSError: when the disk is full.
    """
    with temporary.open("wb") as file, encoder(file, sample_rate, path) as append:
        yield append
