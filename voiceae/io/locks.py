"""Advisory locks, so that one process at a time writes to a file or folder: `flock` on POSIX, `msvcrt` on Windows."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voiceae.errors import OutputError

POLL_SECONDS = 0.05  # between attempts: neither system can wait for a lock and for a deadline at once
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of file systems without locks, such as some network mounts."""

_held: set[int] = set()


@contextmanager
def locked(target: str | Path, advice: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Exclude other processes and threads that use this function on `target` while the block runs.

    The system releases the lock when its process dies in any way; a process forked inside the block does not hold it.
    The lock file (see `lock_file`) is removed after the block; one that a killed process left is taken over. Not
    reentrant: a second lock on one target waits for the first, in the same thread too.

    Args:
        target: a folder that exists, or a file, which need not.
        advice: end of the message when another process holds the lock.
        wait_seconds: how long to wait for another to finish; 0 does not wait, `math.inf` has no limit.

    Raises:
        OutputError: when another still holds the lock, or the lock file cannot be written.
    """
    path = lock_file(target)
    deadline = time.monotonic() + wait_seconds
    handle = _acquire(path, target)
    while handle is None:
        if time.monotonic() >= deadline:
            holder = ""
            with suppress(OSError, ValueError):
                holder = path.read_text()
            raise OutputError(f"{target}: is being written by {holder or 'another process'}; {advice}")
        time.sleep(POLL_SECONDS)
        handle = _acquire(path, target)
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)
        if sys.platform == "win32":
            # An open file cannot be removed there, and once closed it may be another's already: it stays.
            os.close(handle)
        else:
            with suppress(OSError):  # the folder may be gone by now
                path.unlink()
            os.close(handle)


def lock_file(target: str | Path) -> Path:
    """Lock file of a target: `.lock` inside a folder, `.NAME.lock` beside a file.

    Links are followed, so that all names of one target share one lock.
    """
    path = Path(os.path.realpath(target))
    return path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")


def _acquire(path: Path, target: str | Path) -> int | None:
    """Handle of the locked lock file; None while another holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    try:
        _lock(handle)
        # The one before may have removed the file between our opening it and our locking it: then the lock is of a
        # file that nobody else will find.
        if not os.path.samestat(os.fstat(handle), os.stat(path)):
            raise BlockingIOError
        os.truncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except (BlockingIOError, PermissionError, FileNotFoundError):
        os.close(handle)
        return None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            os.close(handle)
            raise OutputError(f"{target}: cannot be locked: {error.strerror or error}") from error
        warnings.warn(
            f"{target}: its file system knows no locks; let no two processes write there", stacklevel=4
        )
    return handle


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # byte that is locked: Windows forbids reading locked bytes, and the file names the holder

    def _lock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        # flock and not lockf: a lock of the latter is a process's, so threads would not exclude each other, and
        # closing any handle of the file would give it up.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go_after_fork() -> None:
        """Close the copies of a forked process, which would hold the locks beyond the death of their owner."""
        while _held:
            os.close(_held.pop())

    os.register_at_fork(after_in_child=_let_go_after_fork)
