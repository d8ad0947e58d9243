"""Writing a file block by block: it takes its name when it is complete, and a full disk is said in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceae.audio.io import FORMATS, Audio, require_format, rounded
from voiceae.errors import OutputError
from voiceae.files import atomic_path, require_new

_AT_ONCE = 1 << 16  # samples; encoders of Ogg keep a whole write on the stack


class _Sink:
    """A file for libsndfile that remembers why it could not be written, which libsndfile does not tell."""

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
        """Asked for by soundfile; the file is flushed when it is closed."""

    def check(self) -> None:
        if self._error is not None:
            raise self._error


@contextmanager
def writing(
    path: str | Path, sample_rate: int, force: bool = False
) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """A function that appends blocks (n,) of at most full scale; the file appears when the `with` block succeeds.

    Formats as `voiceae.audio.io.write` has them.

    Raises:
        OutputError: for an existing file, an unknown suffix, a rate the format refuses, or a full disk.
    """
    path = Path(path)
    require_format(path)
    require_new(path, force)
    with atomic_path(path) as temporary, encoding(temporary, sample_rate, path) as append:
        yield append


@contextmanager
def encoding(
    temporary: Path, sample_rate: int, path: Path
) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """The same into a file that somebody else gives its name.

    Args:
        temporary: written.
        sample_rate: Hz.
        path: the name it will have; chooses the format, and stands in messages.

    Raises:
        OutputError: for a rate the format refuses.
        OSError: when the disk is full.
    """
    container, subtype = FORMATS[path.suffix.lower()]
    with temporary.open("wb") as raw:
        sink = _Sink(raw)
        try:
            with soundfile.SoundFile(sink, "w", sample_rate, 1, subtype=subtype, format=container) as file:

                def append(wav: NDArray[np.float32]) -> None:
                    for start in range(0, len(wav), _AT_ONCE):
                        block = wav[start : start + _AT_ONCE]
                        file.write(rounded(block) if subtype == "PCM_16" else block)
                        sink.check()

                yield append
        except soundfile.LibsndfileError as error:
            sink.check()
            raise OutputError(
                f"{path}: {path.suffix} at {sample_rate} Hz: {error}; write a .wav instead"
            ) from None
        sink.check()


def promised_seconds(source: str | Path | Audio) -> float:
    """Duration by what a file's header says; 0 when it says nothing that can be read, infinite when it cannot know."""
    if isinstance(source, Audio):
        return source.seconds
    try:
        info = soundfile.info(os.fsencode(source))
    except (soundfile.LibsndfileError, OSError):
        return 0.0
    return float(info.frames / info.samplerate)
