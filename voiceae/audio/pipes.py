"""Pipes as recordings: read once, into memory, and kept for whoever reads the same pipe again."""

from __future__ import annotations

import io
import os
import select
from collections import OrderedDict
from pathlib import Path

from voiceae.errors import AudioError

MAX_BYTES = 1 << 29
_WRITER_SECONDS = 10.0  # for a writer to open a named pipe; one that has opened it may take its time
_KEPT = 4  # a source and some targets, as `<(...)` of a shell makes them
_CHUNK = 1 << 16

_spooled: OrderedDict[tuple[int, int], bytes] = OrderedDict()


def spool(path: Path) -> io.BytesIO:
    """All that comes out of a pipe.

    Raises:
        AudioError: for a pipe that nobody writes to, that is empty, or that holds more than 512 MiB.
        OSError: when it cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        key = (status.st_dev, status.st_ino)
        try:
            start = os.read(handle, _CHUNK)
            idle = not start
        except BlockingIOError:  # somebody has it open, or waits for us to open it
            start, idle = b"", False
        if not idle or key not in _spooled:
            _spooled[key] = _drained(handle, path, start)
    finally:
        os.close(handle)
    _spooled.move_to_end(key)
    while len(_spooled) > _KEPT:
        _spooled.popitem(last=False)
    return io.BytesIO(_spooled[key])


def _drained(handle: int, path: Path, start: bytes) -> bytes:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    data = bytearray(start)
    while True:
        try:
            part = os.read(handle, _CHUNK)
        except BlockingIOError:  # somebody has it open and is still at work
            poll.poll()
            continue
        data += part
        if len(data) > MAX_BYTES:
            raise AudioError(
                f"{path}: is a pipe with more than {MAX_BYTES >> 20} MiB; write it to a file and give that"
            )
        if part:
            continue
        if data:
            return bytes(data)
        events = poll.poll(_WRITER_SECONDS * 1000)
        if not events:
            raise AudioError(
                f"{path}: is a pipe that nobody writes to; start what writes to it, or give a file"
            )
        if events[0][1] & select.POLLHUP and not events[0][1] & select.POLLIN:
            raise AudioError(
                f"{path}: is a pipe that nothing comes out of; it can be read only once, so give a file"
            )
