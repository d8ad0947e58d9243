"""Standard output and standard error of the command line, whatever became of them: closed, full, or a broken pipe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO

from voiceae.errors import OutputError, printable

_CURSOR = re.compile("(\r|\x1b\\[A)")  # what progress bars move the cursor by

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps items that are worked through, so that a bar shows how far it is; `iter` shows none."""


class OutputClosed(BaseException):
    """Nobody reads standard output any more; not an error, and nothing that code between should catch."""


class _Stream:
    """A text stream that spells out what could disturb a terminal, or what its encoding lacks."""

    moves_cursor = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write text; the length is that of what came."""
        try:
            self._stream.write(self._clean(text))
        except OSError as error:
            self.failed(error)
        return len(text)

    def _clean(self, text: str) -> str:
        if not self.moves_cursor:
            return printable(text)
        parts = _CURSOR.split(text)
        return "".join(part if _CURSOR.fullmatch(part) else printable(part) for part in parts)

    def flush(self) -> None:
        """Hand on what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """What cannot be written is dropped, or Python would try again when it ends, and complain."""
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(_Stream):
    """Standard output, whose loss is told."""

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
        if text == "":  # by which click tries a stream, and takes every error for an answer
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

    One that was closed is opened on nothing first: its number would be given to the next file, which would then be
    written to by whatever prints. Standard error swallows what cannot be written; there is nobody to tell.
    """
    closed = {number for number in range(3) if _open_if_closed(number)}
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    out = sys.stdout if sys.stdout is not None else open(1, "w", closefd=False)  # noqa: SIM115
    err = sys.stderr if sys.stderr is not None else open(2, "w", closefd=False)  # noqa: SIM115
    sys.stdout = _Output(out, 1 in closed)
    sys.stderr = _Stream(err)


def finish(code: int) -> int:
    """Write what is left: exit code, that of the work or of the loss of its output."""
    try:
        sys.stdout.flush()
    except OutputClosed:
        return code or 141
    except OutputError as error:
        sys.stderr.write(f"voiceae: error: {error}\n")
        return code or 1
    sys.stderr.flush()
    return code or (141 if getattr(sys.stdout, "lost", False) else 0)


def _open_if_closed(number: int) -> bool:
    try:
        os.fstat(number)
        return False
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        else:
            os.set_inheritable(number, True)
        return True
