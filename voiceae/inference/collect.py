"""Embeddings of many recordings: which files, whose voice, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voiceae.audio.io import SUFFIXES
from voiceae.errors import AudioError, VoiceAEError
from voiceae.inference.batch import Failure
from voiceae.inference.heard import Heard
from voiceae.inference.speakers import SpeakerTable

if TYPE_CHECKING:
    from voiceae.inference.voice import Voice


@dataclass(frozen=True)
class Collected:
    """A table, and the files that are not in it."""

    table: SpeakerTable
    failures: list[Failure]


def find_recordings(paths: Iterable[str | Path]) -> list[Path]:
    """Files as given, and every audio file below the folders among them, each once, sorted.

    Raises:
        AudioError: for a path that does not exist, or a folder without audio.
    """
    found: set[Path] = set()
    for path in map(Path, paths):
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()]
            if not inside:
                raise AudioError(f"{path}: holds no audio ({', '.join(SUFFIXES)}), at any depth")
            found.update(inside)
        elif path.exists():
            found.add(path)
        else:
            raise AudioError(f"{path}: no such file or folder")
    return sorted(found, key=str)


def speaker_of(path: Path) -> str:
    """Whose voice a file is by its place: the name of the folder it lies in."""
    return path.absolute().parent.name


def embed_files(
    voice: Voice, paths: Sequence[Path], watch: Callable[[Iterable[Path]], Iterable[Path]] = iter
) -> Collected:
    """Embed every file that can be read.

    Args:
        voice: the model.
        paths: audio files.
        watch: wraps the files, for a progress bar.

    Raises:
        VoiceAEError: when no file at all can be used; with one file, its own error.
    """
    heard: dict[str, Heard] = {}
    failures = []
    for path in watch(paths):
        try:
            heard[str(path)] = voice.listen(path)
        except VoiceAEError as error:
            if len(paths) == 1:
                raise
            failures.append(Failure(str(path), str(error)))
    if not heard:
        raise AudioError(f"none of {len(paths)} files could be used; the first: {failures[0].reason}")
    speakers = {path: speaker_of(Path(path)) for path in heard}
    return Collected(SpeakerTable.from_files(heard, speakers, voice.fingerprint), failures)
