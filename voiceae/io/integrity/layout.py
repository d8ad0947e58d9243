"""Layout of a file for its decoder: streams, spliced ranges of bytes, and the tags around them (ID3, APE, Lyrics3)."""

from __future__ import annotations

import io
import os
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import BinaryIO, TypeAlias

Piece: TypeAlias = "bytes | range"
"""Replacement bytes, or a range of the file."""

_SEARCH = 1 << 20  # bytes searched at a time, so that memory stays bounded


class DamageError(Exception):
    """Raised for a file that is damaged or cannot be decoded; the message continues after the file's name."""


@dataclass(frozen=True)
class CodedStream:
    """One stream that is decoded by itself.

    Attributes:
        pieces: what the decoder is given; empty for the file as it is.
        samples: per channel, that decoding has to give; None when the container does not tell.
        clock: Hz that `samples` are counted at; None for the stream's own rate.
        slack: samples that may be missing.
        exact: whether more than `samples` are an error too.
        total: samples by the header, at the same clock; None where only the decoder knows.
    """

    pieces: tuple[Piece, ...] = ()
    samples: int | None = None
    clock: int | None = None
    slack: int = 0
    exact: bool = False
    total: int | None = None


@dataclass(frozen=True)
class Layout:
    """Streams of a file, and warnings about it.

    Attributes:
        streams: in the order of their audio.
        warnings: faults that did no harm; each continues after the file's name.
    """

    streams: tuple[CodedStream, ...] = field(default=(CodedStream(),))
    warnings: tuple[str, ...] = ()


class SplicedFile(io.RawIOBase):
    """Pieces of a file, and bytes between them, as one file to read.

    Args:
        file: that the ranges are of.
        pieces: in order.
    """

    def __init__(self, file: BinaryIO, pieces: Iterable[Piece]) -> None:
        self._file, self._pieces = file, [piece for piece in pieces if len(piece)]
        self._starts = list(accumulate((len(piece) for piece in self._pieces), initial=0))
        self._position = 0

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read from any position: always."""
        return True

    def tell(self) -> int:
        """Place in the whole."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the whole."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, as far as there is anything: -> bytes."""
        view, done = memoryview(buffer).cast("B"), 0
        while done < len(view) and self._position < self._starts[-1]:
            place = bisect_right(self._starts, self._position) - 1
            piece, inside = self._pieces[place], self._position - self._starts[place]
            size = min(len(view) - done, len(piece) - inside)
            if isinstance(piece, bytes):
                view[done : done + size] = piece[inside : inside + size]
            else:
                self._file.seek(piece.start + inside)
                data = self._file.read(size)
                if not data:
                    break
                size = len(data)
                view[done : done + size] = data
            done += size
            self._position += size
        return done


def find(file: BinaryIO, pattern: bytes, start: int, stop: int) -> int:
    """Place of the first occurrence in a range of a file, -1 when there is none."""
    keep = len(pattern) - 1
    while start < stop:
        file.seek(start)
        chunk = file.read(min(_SEARCH, stop - start))
        place = chunk.find(pattern)
        if place >= 0:
            return start + place
        if len(chunk) <= keep:
            return -1
        start += len(chunk) - keep
    return -1


def merged(ranges: Iterable[range]) -> tuple[range, ...]:
    """Ranges of which neighbours that touch are joined."""
    joined: list[range] = []
    for each in ranges:
        if joined and joined[-1].stop == each.start:
            joined[-1] = range(joined[-1].start, each.stop)
        else:
            joined.append(each)
    return tuple(joined)


def only_zeros(file: BinaryIO, start: int, stop: int) -> bool:
    """Whether a range of a file holds nothing but zero bytes."""
    file.seek(start)
    while start < stop:
        chunk = file.read(min(_SEARCH, stop - start))
        if not chunk or chunk.count(0) != len(chunk):
            return not chunk
        start += len(chunk)
    return True


# Lengths from id3.org (ID3v1 at the end, ID3v2.4 with a size of 4 times 7 bits), and wiki.hydrogenaud.io (APEv2).
_ID3V1 = 128
_APE = 32  # of the header, and of the footer


def tag_at(file: BinaryIO, position: int, stop: int) -> int:
    """Length of the tag that starts at a position, 0 if none does."""
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
    """End of the tags at the front, and start of those at the back."""
    start = 0
    while size := tag_at(file, start, stop) if start < stop else 0:
        start += size
    while start < (end := _before_tag(file, start, stop)) < stop:
        stop = end
    return start, stop


def _before_tag(file: BinaryIO, start: int, stop: int) -> int:
    """Start of the tag that ends at `stop`, `stop` itself if none does."""
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
