"""Writing without leaving halves behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voiceae.errors import OutputError


def require_new(path: Path, force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        OutputError: when `path` exists and `force` is false, or when it is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; use --force to overwrite it")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Temporary path beside `path` that takes its name when the block succeeds and vanishes when it fails.

    The temporary name keeps the suffix, for writers that choose a format by it.

    Raises:
        OutputError: when the folder cannot be made or the file cannot be written (a full disk, no permission).
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
