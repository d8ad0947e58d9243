"""Atomic writing of files and folders, and the errors of the file system as messages with a remedy.

On POSIX a temporary file is locked (`flock`) while it is written, so that what a killed process left can be told from
what another is writing. Windows cannot rename or remove an open file: there nothing is locked, and leftovers stay.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from voiceae.errors import ConfigError, FileAccessError, OutputError, VoiceAEError

fcntl: Any = import_module("fcntl") if os.name == "posix" else None

FILE_ERRORS = (VoiceAEError, OSError)
"""Errors that concern one file of a batch; the others are still processed."""

_PART = re.compile(r"\..*-(?P<owner>[0-9]+)-[0-9a-f]{8}\.part(\.[^.]*)?", re.DOTALL)
# Longer ones are dropped: a name has 255 bytes, 40 letters of the stem may take 160 in UTF-8
_LONGEST_SUFFIX = 16
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_REMEDIES = {
    errno.EACCES: "ask for access to it",
    errno.EPERM: "ask for access to it",
    errno.EROFS: "give a place that can be written",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def explain(error: OSError | ValueError) -> str:
    """The system's message, with a remedy where there is one."""
    if not isinstance(error, OSError):  # a name with a null character never reaches the system
        return str(error)
    message, remedy = error.strerror or str(error) or type(error).__name__, _REMEDIES.get(error.errno or 0)
    return f"{message}; {remedy}" if remedy else message


def reason(error: BaseException, path: object = "") -> str:
    """An error of `FILE_ERRORS` as the line to print.

    Args:
        error: what was raised.
        path: what it concerned, where the error itself does not say.
    """
    if not isinstance(error, OSError):
        return str(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(path)
    if not name and isinstance(error, FileNotFoundError):  # as of os.getcwd() in a folder that was removed
        return "the current folder is gone; change to another one"
    return f"{name}: cannot be used: {explain(error)}" if name else explain(error)


@contextmanager
def accessible(path: object, error: type[VoiceAEError] = FileAccessError) -> Iterator[None]:
    """A block whose OSErrors are raised as one of our errors.

    Args:
        path: for the message, where the error itself names none.
        error: class to raise.
    """
    try:
        yield
    except OSError as refused:
        name = os.fsdecode(refused.filename) if isinstance(refused.filename, str | bytes) else path
        raise error(f"{name}: cannot be used: {explain(refused)}") from refused


def is_dir(path: str | Path) -> bool:
    """Whether a folder is there, as `Path.is_dir`.

    Raises:
        FileAccessError: when the system refuses to tell (a folder without access, a name that is too long).
    """
    return stat.S_ISDIR(_mode(path))


def is_file(path: str | Path) -> bool:
    """Whether a file is there, as `Path.is_file`; raises as `is_dir` does."""
    return stat.S_ISREG(_mode(path))


def exists(path: str | Path) -> bool:
    """Whether anything is there, as `Path.exists`; raises as `is_dir` does."""
    return bool(_mode(path))


def _mode(path: str | Path) -> int:
    """Type and permissions of what is there, 0 where nothing is."""
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in _NOT_THERE:
            return 0
        raise FileAccessError(f"{path}: cannot be used: {explain(error)}") from error
    except ValueError as error:
        raise FileAccessError(f"{path!s}: is no name of a file: {error}") from error


def user_folder(variable: str, *beside: str) -> Path:
    """Folder for the user's files by the XDG Base Directory Specification, on every system.

    Args:
        variable: such as "XDG_DATA_HOME".
        beside: parts of the default below the home folder.

    Raises:
        ConfigError: without the variable and a home folder, as in a container with an unknown user.
    """
    given = os.environ.get(variable)
    try:
        return Path(given) if given else Path.home().joinpath(*beside)
    except RuntimeError:
        raise ConfigError(f"this user has no home folder; set HOME or {variable}") from None


def require_new(path: Path, force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        OutputError: when `path` exists and `force` is false, when it is a folder, or when it cannot be looked at.
    """
    try:
        folder, there = is_dir(path), exists(path)
    except FileAccessError as error:
        raise OutputError(str(error)) from error
    if folder:
        raise OutputError(f"{path}: is a folder; give a file name")
    if there and not force:
        raise OutputError(f"{path}: exists already; use --force to overwrite it")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Temporary path that is renamed to `path` when the block succeeds and removed when it fails.

    The temporary name keeps the suffix, for writers that choose a format by it. Leftovers of killed processes in the
    folder are removed first.

    Raises:
        OutputError: when the folder cannot be made or the file cannot be written (a full disk, no permission).
    """
    path = Path(path)
    with _temporary(path, is_folder=False) as temporary:
        mode = temporary.stat().st_mode
        yield temporary
        # safetensors replaces the file by one that only its owner may read.
        temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Temporary folder that is renamed to `path` when the block succeeds and removed when it fails.

    An earlier folder of that name stays until the new one is there.

    Raises:
        OutputError: when it cannot be made (a full disk, no permission).
    """
    with _temporary(path, is_folder=True) as temporary:
        yield temporary
        if not os.path.lexists(path):
            temporary.rename(path)
        elif not _exchange(temporary, path):
            old = temporary.with_name(f"{temporary.name}.old")
            path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                old.rename(path)
                raise
            old.rename(temporary)


@contextmanager
def _temporary(path: Path, is_folder: bool) -> Iterator[Path]:
    """A new temporary file or folder beside `path`; whatever still has its name after the block is removed."""
    temporary: Path | None = None
    handle: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        where = path.parent.stat()
        _clear_once(os.path.abspath(path.parent), where.st_dev, where.st_ino)
        temporary, handle = _new_part(path, is_folder)
        yield temporary
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {explain(error)}") from error
    finally:
        if temporary is not None:
            _remove(temporary)
        if handle is not None:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically, so that there is always a folder of the name: with Linux's `renameat2` only."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    # Other systems rename twice, with a moment between; macOS could swap by `renamex_np`, which was not tried.
    at_cwd, exchange = -100, 2  # AT_FDCWD (fcntl.h) and RENAME_EXCHANGE (linux/fs.h)
    return rename is not None and not rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange)


def _new_part(path: Path, is_folder: bool) -> tuple[Path, int | None]:
    """New temporary name beside `path`, and a handle whose lock shows that its owner lives."""
    suffix = path.suffix if len(path.suffix) <= _LONGEST_SUFFIX else ""
    while True:
        part = path.with_name(f".{path.stem[:40]}-{os.getpid()}-{secrets.token_hex(4)}.part{suffix}")
        handle = None
        try:
            if is_folder:
                os.mkdir(part)
                handle = os.open(part, os.O_RDONLY) if fcntl else None
            else:
                # With the permissions of the user's umask, which os.umask() cannot read without setting it.
                handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        if fcntl is None:
            if handle is not None:
                os.close(handle)  # an open file cannot be renamed there
            return part, None
        with suppress(OSError):  # without locks on this file system, nobody else removes it either
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if part.exists():  # another process may have taken it for a leftover before it was locked
            return part, handle
        if handle is not None:
            os.close(handle)


@lru_cache(maxsize=4096)
def _clear_once(folder: str, *_: int) -> None:
    """Remove leftovers of killed processes in a folder, once per folder (device, inode) and process."""
    clear_dead_parts(folder)


def clear_dead_parts(folder: str | Path) -> None:
    """Remove the temporary files and folders in a folder whose owners are dead; a running one's stay."""
    if fcntl is None:  # and os.kill(pid, 0) would send Ctrl-C on Windows
        return
    try:
        with os.scandir(folder) as entries:
            parts = [(entry, match["owner"]) for entry in entries if (match := _PART.fullmatch(entry.name))]
    except OSError:  # the folder may be writable but not readable
        return
    for part, owner in parts:
        if not _runs(int(owner)) and _is_unlocked(part.path):
            _remove(Path(part.path))


def _runs(owner: int) -> bool:
    """Whether such a process exists here; the owner may run in another container, or its number be reused."""
    try:
        os.kill(owner, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _is_unlocked(part: str) -> bool:
    """Whether nobody holds the lock of a temporary file or folder; when in doubt, somebody does."""
    try:
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def as_path(value: Any, what: str, error: type[VoiceAEError]) -> Path:
    """Path of a text or a path object.

    Raises:
        error: for bytes, file objects and anything else, or a name that no file can have.
    """
    if not isinstance(value, str | os.PathLike):
        raise error(f"{what}: {kind_of(value)} is no path; give a text or a pathlib.Path")
    text = os.fsdecode(value)
    if "\0" in text:
        raise error(f"{what}: {text!r} is no path: it has a null character")
    try:
        os.stat(text)
    except OSError as reason:
        if reason.errno == errno.ENAMETOOLONG:
            raise error(f"{what}: a name of {len(text)} characters is too long: {text[:60]}...") from None
    return Path(text)


def kind_of(value: Any) -> str:
    """Description of an argument of a wrong type, for messages."""
    name = type(value).__name__
    return f"an open file ({name})" if hasattr(value, "read") else f"a value of type {name}"
