"""Tags around the sound: ID3 (id3.org), APE and Lyrics3, as players leave them in files of any kind."""

from __future__ import annotations

import struct
from typing import BinaryIO

_ID3V1 = 128
_APE = 32  # header, and footer


def tag_at(file: BinaryIO, position: int, stop: int) -> int:
    """Bytes of the tag that starts here, 0 when none does."""
    file.seek(position)
    head = file.read(_APE)
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
        return min(size + (10 if head[5] & 0x10 else 0), stop - position)
    if head[:8] == b"APETAGEX" and len(head) == _APE:
        size, flags = struct.unpack("<I4xI", head[12:24])
        return min(size + (_APE if flags & 1 << 29 else 0), stop - position)
    if head[:3] == b"TAG" and stop - position >= _ID3V1:
        return _ID3V1
    if head[:11] == b"LYRICSBEGIN":
        file.seek(position)
        end = file.read(min(stop - position, 1 << 20)).find(b"LYRICS200")
        return end + 9 if end >= 0 else 0
    return 0


def without_tags(file: BinaryIO, stop: int) -> tuple[int, int]:
    """Where the tags at the front end, and those at the back begin."""
    start = 0
    while size := tag_at(file, start, stop) if start < stop else 0:
        start += size
    while start < (end := _before_tag(file, start, stop)) < stop:
        stop = end
    return start, stop


def _before_tag(file: BinaryIO, start: int, stop: int) -> int:
    """Where the tag that ends here begins."""
    if stop - start > _ID3V1:
        file.seek(stop - _ID3V1)
        if file.read(3) == b"TAG":
            return stop - _ID3V1
    if stop - start > _APE:
        file.seek(stop - _APE)
        foot = file.read(_APE)
        if foot[:8] == b"APETAGEX":
            size, flags = struct.unpack("<I4xI", foot[12:24])
            if not flags & 1 << 31:
                return int(max(start, stop - size))
            file.seek(max(start, begin := stop - size - _APE))
            return int(begin) if file.read(8) == b"APETAGEX" else stop
        if foot[-9:] == b"LYRICS200" and foot[-15:-9].isdigit():
            return max(start, stop - 15 - int(foot[-15:-9]))
    return stop
