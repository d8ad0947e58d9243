"""Where an export may go, and how it gets there: whole or not at all, with one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voiceae.errors import OutputError
from voiceae.files import atomic_folder, exists
from voiceae.locks import locked
from voiceae.onnx.manifest import is_export


def require_free(path: Path, force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        OutputError: when `path` exists and is anything but an earlier export that `force` says to replace.
    """
    if not exists(path):
        return
    if not is_export(path):
        raise OutputError(f"{path}: exists already and is no export; give a folder that is not there yet")
    if not force:
        raise OutputError(f"{path}: exists already; use --force to replace it")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Temporary folder beside `path` that takes its place when the block succeeds and vanishes when it fails.

    An earlier export is there until the new one is, whatever fails.

    Raises:
        OutputError: when it cannot be made (a full disk, no permission), or another process is writing it.
    """
    with locked(path, "wait until that export has ended"), atomic_folder(path) as temporary:
        yield temporary
