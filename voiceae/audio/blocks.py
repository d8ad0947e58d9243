"""Writing a file block by block: it takes its name when it is complete, and a full disk is said in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceae.audio import io
from voiceae.audio.encode import encoder, require_format
from voiceae.audio.io import Audio
from voiceae.errors import AudioError
from voiceae.files import atomic_path, require_new


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
    with temporary.open("wb") as file, encoder(file, sample_rate, path) as append:
        yield append


def promised_seconds(source: str | Path | Audio) -> float:
    """Duration by what a file's header says; 0 when it says nothing that can be read, infinite when it cannot know."""
    if isinstance(source, Audio):
        return source.seconds
    try:
        return io.info(source).seconds
    except AudioError:
        return 0.0
