"""Processes that share work and never outlive the one they work for; signals that end it."""

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

_LOOK_SECONDS = 0.2
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(BaseException):
    """A signal that asks the process to end; unlike an error, nothing between should catch it.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """A block in which SIGTERM and SIGHUP raise `Terminated`, so that what is begun is tidied up.

    One that is ignored from outside, as `nohup` does, stays ignored. The same signal a second time kills at once.
    """
    before = {}
    with suppress(ValueError):  # only the main thread hears signals
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
    """Options of `joblib.Parallel` by which its processes end when this one does, also while they wait for work.

    None where the work is done by threads, in this process, or by a cluster.
    """
    import joblib

    known, _ = joblib.parallel.get_active_backend()
    return (
        {"initializer": _follow, "initargs": (os.getpid(),)}
        if known.__class__.__name__ == "LokyBackend"
        else {}
    )


def watched_call(function: Callable[..., Result], *arguments: Any) -> Any:
    """A call for `joblib.Parallel`, as `joblib.delayed` makes it, whose process ends when this one does."""
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
    """End this process as soon as its parent is gone, even by SIGKILL; an interrupt is for the parent to hear."""
    if owner in _followed:
        return
    _followed.add(owner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def look() -> None:
        while os.getppid() == owner:
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    threading.Thread(target=look, daemon=True, name="parent-watch").start()


@contextmanager
def workers_killed_on_error(folders: Iterable[Path] = (), jobs: int | None = None) -> Iterator[None]:
    """A block whose processes are killed when it fails or is interrupted, as when one of them was killed.

    Args:
        folders: that they write to; what they leave half-written there is removed.
        jobs: how many they are, for the message.

    Raises:
        WorkerError: when one was killed.
    """
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        yield
    except BaseException as error:
        _kill_workers()
        for folder in folders:
            clear_dead_parts(folder)
        if isinstance(error, TerminatedWorkerError):
            raise WorkerError(
                f"one of {jobs or 'the'} processes was killed, most likely for want of memory; use fewer --jobs"
            ) from None
        raise


def _kill_workers() -> None:
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor  # asking for it in the official way would start one
    if executor is not None:
        # joblib's own kind has temporary folders, which it forgets only in this way
        end = getattr(executor, "terminate", executor.shutdown)
        end(kill_workers=True)
