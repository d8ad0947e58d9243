"""Standard streams of the command line that survive being closed, a full disk and a broken pipe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO

from voiceae.errors import OutputError, printable

_CURSOR = re.compile("(\r|\x1b\\[A)")  # carriage return and cursor up, by which tqdm redraws its bars

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps items that are worked through, so that a bar shows how far it is; `iter` shows none."""


class OutputClosed(BaseException):
    """Raised when nobody reads standard output any more; no Exception, so that no handler in between catches it."""


class _Stream:
    """Text stream that escapes control characters, and characters that its encoding lacks."""

    moves_cursor = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write text, escaped; returns the length of the original."""
        parts = _CURSOR.split(text) if self.moves_cursor else [text]
        parts[::2] = map(printable, parts[::2])  # the odd ones are the separators
        try:
            self._stream.write("".join(parts))
        except OSError as error:
            self.failed(error)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer to the system."""
        try:
            self._stream.flush()
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """Point the descriptor at the null device: Python flushes at its exit, and would report the error again."""
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(_Stream):
    """Standard output, whose errors are raised."""

    moves_cursor = False

    def __init__(self, stream: TextIO, was_closed: bool) -> None:
        super().__init__(stream)
        self._was_closed, self.lost = was_closed, False
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text.

        Raises:
            OutputClosed: when nobody reads it.
            OutputError: when it cannot be written for another reason.
        """
        if text == "":  # click probes a stream with an empty write and swallows any error of it
            return 0
        self.lost = self.lost or self._was_closed
        if self._error is not None:
            self.failed(self._error)
        return super().write(text)

    def failed(self, error: OSError) -> None:
        super().failed(error)
        self._error = error
        if isinstance(error, BrokenPipeError):
            raise OutputClosed from None
        raise OutputError(f"standard output: cannot be written: {error.strerror or error}") from error


def protect() -> None:
    """Make the standard streams safe to write to.

    A closed one is opened on the null device first: the system would give its number to the next file that is opened,
    and prints would go into that. Errors of standard error are ignored; there is nowhere to report them.
    """
    closed = set()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            else:
                os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    out = sys.stdout if sys.stdout is not None else open(1, "w", closefd=False)  # noqa: SIM115
    err = sys.stderr if sys.stderr is not None else open(2, "w", closefd=False)  # noqa: SIM115
    sys.stdout = _Output(out, 1 in closed)
    sys.stderr = _Stream(err)


def finish(code: int) -> int:
    """Flush, and return the exit code: that of the work, or of its lost output."""
    try:
        sys.stdout.flush()
    except OutputClosed:
        return code or 141  # 128 + SIGPIPE, as a shell reports a program that a closed pipe has ended
    except OutputError as error:
        sys.stderr.write(f"voiceae: error: {error}\n")
        return code or 1
    sys.stderr.flush()
    return code or (141 if getattr(sys.stdout, "lost", False) else 0)
