"""Embeddings of many recordings: which files, whose voice, and what could not be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voiceae.data.walk import READABLE, audio_below, warn_unused
from voiceae.errors import AudioError
from voiceae.files import FILE_ERRORS, accessible, exists, is_dir, reason
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


def find_recordings(paths: Iterable[str | Path], closed: list[Failure] | None = None) -> dict[Path, str]:
    """Files as given, and every audio file below the folders among them, each once, sorted.

    Args:
        paths: files and folders. What lies in a folder and is not used is summed up in a warning.
        closed: gets the folders that the system does not open; they are warned of where none is given.

    Returns:
        The speaker of each file (`speaker_of`); where a file is given in several ways, the first one counts.

    Raises:
        AudioError: for a path that does not exist, or a folder without audio.
    """
    found: dict[Path, str] = {}
    for path in map(Path, paths):
        if is_dir(path):
            with accessible(path, AudioError):
                inside = audio_below(path)
            lost = [] if closed is None else [each for each in inside.unused if each.closed]
            warn_unused(path, [each for each in inside.unused if each not in lost])
            if closed is not None:
                closed.extend(Failure(str(each.path), each.why) for each in lost)
            if not inside.files:
                raise AudioError(f"{path}: holds no audio ({', '.join(READABLE)}), at any depth")
            own = {file: speaker_of(file, path) for file in inside.files}
        elif exists(path):
            own = {path: speaker_of(path)}
        else:
            raise AudioError(f"{path}: no such file or folder")
        found = own | found
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def speaker_of(path: Path, folder: Path | None = None) -> str:
    """Whose voice a file is by its place, as `voiceae prepare folder` sees it.

    Args:
        path: the file.
        folder: that it was found below: its subfolders are the speakers, however deep the file lies, and files
            beside them are of the folder's own name. None where the file itself was given: the folder it lies in.
    """
    place = _absolute(path)
    root = place.parent if folder is None else _absolute(folder)
    inner = place.relative_to(root).parts
    return inner[0] if len(inner) > 1 else root.name


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # links stay: their own names are the ones that the user sees


def embed_files(
    voice: Voice, speakers: Mapping[Path, str], watch: Callable[[Iterable[Path]], Iterable[Path]] = iter
) -> Collected:
    """Embed every file that can be read.

    Args:
        voice: the model.
        speakers: audio files, and whose voice each is.
        watch: wraps the files, for a progress bar.

    Raises:
        VoiceAEError: when no file at all can be used; with one file, its own error.
    """
    heard: dict[str, Heard] = {}
    failures = []
    for path in watch(speakers):
        try:
            heard[str(path)] = voice.listen(path)
        except FILE_ERRORS as error:
            if len(speakers) == 1:
                raise
            failures.append(Failure(str(path), reason(error, path)))
    if not heard:
        raise AudioError(f"none of {len(speakers)} files could be used; the first: {failures[0].reason}")
    owners = {str(path): speaker for path, speaker in speakers.items() if str(path) in heard}
    return Collected(SpeakerTable.from_files(heard, owners, voice.fingerprint), failures)
