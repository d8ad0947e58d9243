"""Audio files below a folder, and the files beside them that are not used, for all commands alike."""

from __future__ import annotations

import os
import stat
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voiceae.io.filesystem import explain
from voiceae.io.writer import SUFFIXES

READABLE = tuple(
    dict.fromkeys(
        (*SUFFIXES, ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".wave", ".bwf")
    )
)
"""Suffixes of recordings, in upper or lower case; the format itself is told by the content."""

_FOREIGN = {
    *(".m4a", ".m4b", ".mp4", ".aac", ".wma", ".webm", ".mka", ".amr", ".3gp", ".ape", ".wv", ".ac3", ".mp2"),
    *(".mov", ".mkv", ".avi", ".dsf", ".ra", ".spx", ".raw", ".pcm", ".sph"),
}
_LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "lost+found"}
_NAMED = 3  # files that a warning names per reason
HIDDEN, LITTER, OTHER = "hidden", "left there by a system", "not audio"
FOREIGN = "of a format that is not read (convert to .wav)"


class UnusedFileWarning(UserWarning):
    """Warns of files or folders below a given one that are not used."""


@dataclass(frozen=True)
class UnusedFile:
    """A file or folder that is not used.

    Attributes:
        path: of it.
        why: reason, as it follows a count ("hidden").
        closed: whether access was refused, so that recordings may be missing.
    """

    path: Path
    why: str
    closed: bool = False


@dataclass
class AudioFiles:
    """Files found below a folder.

    Attributes:
        files: recordings, sorted by path.
        unused: all others, sorted likewise; a hidden folder counts once.
    """

    files: list[Path] = field(default_factory=list)
    unused: list[UnusedFile] = field(default_factory=list)


def find_audio_files(root: str | Path, companions: Sequence[str] = ()) -> AudioFiles:
    """Audio files below a folder at any depth.

    Links to folders are followed, each folder once, by device and inode: where links form a circle, or lead to a folder
    that is found anyway, the path without links wins.

    Args:
        root: a folder.
        companions: suffixes of files that belong to recordings and are not listed as unused.

    Raises:
        OSError: when `root` itself cannot be listed.
    """
    root, found, known = Path(root), AudioFiles(), set[tuple[int, int]]()
    os.scandir(root).close()
    places = deque([root])
    while places:
        folders = [places.popleft()]
        while folders:
            folder = folders.pop()
            try:
                state = os.stat(folder)
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                found.unused.append(UnusedFile(folder, f"closed ({error.strerror})", closed=True))
                continue
            if (state.st_dev, state.st_ino) in known:
                found.unused.append(UnusedFile(folder, "a link to a folder that is there already"))
                continue
            known.add((state.st_dev, state.st_ino))
            for entry in entries:
                _sort_in(entry, found, folders, places, companions)
    found.files.sort(key=str)
    found.unused.sort(key=lambda each: str(each.path))
    return found


def _sort_in(
    entry: os.DirEntry[str],
    found: AudioFiles,
    folders: list[Path],
    places: deque[Path],
    companions: Sequence[str],
) -> None:
    path = Path(entry.path)
    if entry.name.lower() in _LITTER:
        found.unused.append(UnusedFile(path, LITTER))
    elif entry.name.startswith("."):
        found.unused.append(UnusedFile(path, HIDDEN))
    elif entry.is_dir(follow_symlinks=False):
        folders.append(path)
    else:
        try:
            mode = entry.stat().st_mode
        except FileNotFoundError:
            found.unused.append(UnusedFile(path, "a link to nothing"))
        except OSError as error:
            found.unused.append(UnusedFile(path, f"closed ({explain(error)})", closed=True))
        else:
            if stat.S_ISDIR(mode):
                places.append(path)
            elif not stat.S_ISREG(mode):
                found.unused.append(UnusedFile(path, "neither file nor folder"))
            elif path.suffix.lower() in READABLE:
                found.files.append(path)
            elif path.suffix.lower() not in companions:
                found.unused.append(UnusedFile(path, FOREIGN if path.suffix.lower() in _FOREIGN else OTHER))


def describe_unused_files(root: str | Path, unused: Iterable[UnusedFile]) -> str:
    """One line with the number of unused files per reason and the first names of each; empty where there are none."""
    reasons: dict[str, list[str]] = {}
    for each in unused:
        name = each.path.relative_to(root) if each.path.is_relative_to(root) else each.path
        reasons.setdefault(each.why, []).append(str(name))
    parts = [
        f"{len(names)} {why}: {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
        for why, names in reasons.items()
    ]
    count = sum(map(len, reasons.values()))
    return f"{root}: {count} not used ({'; '.join(parts)})" if parts else ""


def warn_unused_files(root: str | Path, unused: Iterable[UnusedFile]) -> None:
    """Issue that line as a warning."""
    line = describe_unused_files(root, unused)
    if line:
        warnings.warn(line, UnusedFileWarning, stacklevel=3)
