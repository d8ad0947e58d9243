"""libmpg123 writes what it thinks of a file straight to the process's standard error; here it is taken from there."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_OURS = re.compile(rb"^(\[.*libmpg123|Note: |Warning: |.*mpg123)", re.IGNORECASE)
_ERROR = re.compile(rb"error: (.*)")
_LOCK = threading.RLock()


@contextmanager
def caught(errors: list[str]) -> Iterator[None]:
    """Keep libmpg123's lines off standard error; what others wrote meanwhile is passed on.

    Args:
        errors: what it calls an error is appended.
    """
    with _LOCK, tempfile.TemporaryFile() as lines:
        try:
            kept = os.dup(_STDERR)
        except (
            OSError
        ):  # closed: there is nothing to keep clean, but the number may come to be that of a file
            kept = -1
        os.dup2(lines.fileno(), _STDERR)
        try:
            yield
        finally:
            if kept >= 0:
                os.dup2(kept, _STDERR)
                os.close(kept)
            else:
                os.close(_STDERR)
            lines.seek(0)
            for line in lines:
                if not _OURS.match(line):
                    if kept >= 0:
                        os.write(_STDERR, line)
                elif error := _ERROR.search(line):
                    errors.append(error[1].decode(errors="replace"))
