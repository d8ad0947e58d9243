"""Worker processes that never outlive their parent, and signals as exceptions."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from voiceae.errors import WorkerError
from voiceae.hardware import control_threads
from voiceae.io.filesystem import clear_dead_parts

Result = TypeVar("Result")

_POLL_SECONDS = 0.2  # between looks at the parent
# Windows has no SIGHUP.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(BaseException):
    """Raised for a signal that asks the process to end; no Exception, so that no handler in between catches it.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """A block in which SIGTERM and SIGHUP raise `Terminated`, so that temporary files are removed.

    A signal that is ignored from outside, as by `nohup`, stays ignored. The same signal a second time kills at once.
    """
    before = {}
    with suppress(ValueError):  # only the main thread can set handlers
        for each in _ENDING:
            if signal.getsignal(each) == signal.SIG_DFL:
                before[each] = signal.signal(each, _end)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Terminated(number)


def parent_watch_options() -> dict[str, Any]:
    """Options of `joblib.Parallel` by which its processes end with this one, also while they wait for work.

    Empty for joblib's other backends: threads, this process, a cluster.
    """
    import joblib

    known, _ = joblib.parallel.get_active_backend()
    options = {"initializer": _follow, "initargs": (os.getpid(),)}
    return options if known.__class__.__name__ == "LokyBackend" else {}


def watched_call(function: Callable[..., Result], *arguments: Any) -> Any:
    """A call for `joblib.Parallel`, as of `joblib.delayed`, whose process ends with this one."""
    import joblib

    return joblib.delayed(_attend)(os.getpid(), function, *arguments)


def _attend(owner: int, function: Callable[..., Result], *arguments: Any) -> Result:
    if os.getpid() != owner:
        control_threads()
    if multiprocessing.current_process().name.startswith("Loky"):
        _follow(owner)
    return function(*arguments)


_followed: set[int] = set()


def _follow(owner: int) -> None:
    """End this process when its parent is gone, even by SIGKILL; Ctrl-C is left to the parent."""
    if owner in _followed:
        return
    _followed.add(owner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def look() -> None:
        # POSIX gives orphans another parent. Windows keeps the number: there loky ends idle workers after its timeout.
        while os.getppid() == owner:
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    threading.Thread(target=look, daemon=True, name="parent-watch").start()


@contextmanager
def workers_killed_on_error(folders: Iterable[Path] = (), jobs: int | None = None) -> Iterator[None]:
    """A block whose worker processes are killed when it fails or is interrupted, or one of them was killed.

    Args:
        folders: that they write to; their temporary files there are removed.
        jobs: number of processes, for the message.

    Raises:
        WorkerError: when one was killed.
    """
    from joblib.externals.loky import reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        yield
    except BaseException as error:
        executor = reusable_executor._executor  # the public get_reusable_executor() would start one
        if executor is not None:
            # Only terminate() of joblib's subclass removes its temporary folders too.
            end = getattr(executor, "terminate", executor.shutdown)
            end(kill_workers=True)
        for folder in folders:
            clear_dead_parts(folder)
        if isinstance(error, TerminatedWorkerError):
            raise WorkerError(
                f"one of {jobs or 'the'} processes was killed, most likely for want of memory; use fewer --jobs"
            ) from None
        raise
