"""FLAC (RFC 9639): numbers of frames. libFLAC refuses wrong checksums, but replaces missing frames by silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from voiceae.io.integrity.layout import CodedStream, DamageError, Layout, Piece, find

_MARK = b"fLaC"
# Header of the first metadata block (section 8.2), where others follow and where it is the only one.
_STREAMINFO = (b"\0\0\0\x22", b"\x80\0\0\x22")
_TOTAL = 4 + 4 + 13  # place of the byte whose lower half, with the next four, is the number of samples
_HEAD = _TOTAL + 5 + 16  # up to the end of STREAMINFO, with its MD5
_LONGEST_HEAD = 16  # bytes: 4, at most 7 of the coded number, 2 + 2 of sizes and rates, and the checksum
_CHUNK = 1 << 20
_BLOCK_SIZES = {  # section 9.1.1; codes 6 and 7 have the size at the end of the header
    1: 192,
    **{code: 576 << code - 2 for code in range(2, 6)},
    **{code: 256 << code - 8 for code in range(8, 16)},
}


@dataclass(frozen=True)
class _Frame:
    """Header of a frame: its number (of its first sample, with variable block sizes) and its samples."""

    number: int
    samples: int
    variable: bool

    @property
    def following(self) -> int:
        return self.number + (self.samples if self.variable else 1)


def examine(file: BinaryIO, start: int, stop: int) -> Layout:
    """Follow the numbers of the frames, of one stream and of those that were appended to it.

    Args:
        file: open.
        start: where the stream begins.
        stop: end of its last frame.

    Raises:
        DamageError: for a frame that is missing.
    """
    streams: list[CodedStream] = []
    warnings: list[str] = []
    while start < stop:
        following = _next_stream(file, start + len(_MARK), stop)
        file.seek(start)
        head = file.read(_HEAD)
        if len(head) < _HEAD or head[4:8] not in _STREAMINFO:
            raise DamageError("is damaged: its STREAMINFO is missing")
        promised = int.from_bytes(head[_TOTAL : _TOTAL + 5], "big") & (1 << 36) - 1
        there, orderly = _samples(file, start, following)
        if promised > there:
            raise DamageError(f"is truncated: {promised} samples promised, {there} are there")
        if 0 < promised < there:
            warnings.append(f"promises {promised} samples, yet {there} follow; all of them are taken")
        pieces: tuple[Piece, ...] = (range(start, following),)
        if promised != there or not orderly:
            # With a length of 0, unknown, libFLAC decodes whatever follows; the count is compared afterwards.
            unknown = bytes([head[_TOTAL] & 0xF0, 0, 0, 0, 0])
            behind = start + _TOTAL + len(unknown)
            pieces = (range(start, start + _TOTAL), unknown, range(behind, following))
        streams.append(CodedStream(pieces, there, exact=True, total=there))
        start = following
    return Layout(tuple(streams), tuple(warnings))


def _next_stream(file: BinaryIO, start: int, stop: int) -> int:
    while (place := find(file, _MARK, start, stop)) >= 0:
        file.seek(place + len(_MARK))
        if file.read(4) in _STREAMINFO:
            return place
        start = place + len(_MARK)
    return stop


def _samples(file: BinaryIO, start: int, stop: int) -> tuple[int, bool]:
    """Follow the frames after the metadata: samples up to the end of the last, and whether none came twice."""
    position, ended = start + len(_MARK), False
    while not ended:
        file.seek(position)
        head = file.read(4)
        position += 4 + int.from_bytes(head[1:], "big")
        if len(head) < 4 or position > stop:
            raise DamageError("is truncated: it ends before the first frame")
        ended = bool(head[0] & 0x80)
    frames = _frames(file, position, stop)
    first = last = next(frames)
    expected, gap, orderly = first.following, False, True
    for frame in frames:
        if frame.number == expected:
            last, expected, gap = frame, frame.following, False
        elif frame.number > expected:
            gap = True  # unless the expected one still comes: then these bytes only looked like a header
        else:
            orderly = False
    if gap or first.number:
        missing = "its first frame" if first.number else f"frame {expected}"
        raise DamageError(f"is damaged: {missing} is missing")
    return last.number * (1 if last.variable else first.samples) + last.samples, orderly


def _frames(file: BinaryIO, start: int, stop: int) -> Iterator[_Frame]:
    """The frame at `start`, and all bytes after it that look like the header of another of this stream."""
    file.seek(start)
    head = file.read(_LONGEST_HEAD)
    first = _frame(head) if start < stop else None
    if first is None:
        raise DamageError("is damaged: its first frame is missing")
    yield first
    alike = re.compile(
        re.escape(head[:2])
        + _any_of(head[2] & 15 | code << 4 for code in range(1, 16))
        + _any_of(head[3] & 15 | channels << 4 for channels in range(11))
        + b".",
        re.DOTALL,
    )
    position = start + 1
    while position < stop:
        file.seek(position)
        chunk = file.read(min(_CHUNK, stop - position))
        complete = len(chunk) - _LONGEST_HEAD if position + len(chunk) < stop else len(chunk)
        for place in (match.start() for match in alike.finditer(chunk)):
            frame = _frame(chunk[place : place + _LONGEST_HEAD]) if place < complete else None
            if frame is not None:
                yield frame
        position += max(1, complete)


def _any_of(values: Iterable[int]) -> bytes:
    return b"[" + b"".join(re.escape(bytes([value])) for value in values) + b"]"


def _frame(head: bytes) -> _Frame | None:
    """Header of a frame (RFC 9639, section 9.1), None if the bytes are none."""
    # A sync code of 15 bits, and a bit that tells variable from fixed block sizes.
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    number, place = _coded_number(head, 4)
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    rate_bytes = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    end = place + size_bytes + rate_bytes
    if number < 0 or end >= len(head):
        return None
    crc = 0
    for byte in head[:end]:
        crc = _CRC8[crc ^ byte]
    if crc != head[end]:
        return None
    explicit = int.from_bytes(head[place : place + size_bytes], "big") + 1
    return _Frame(number, _BLOCK_SIZES.get(size_code, explicit), bool(head[1] & 1))


def _coded_number(head: bytes, place: int) -> tuple[int, int]:
    """Number in the extended UTF-8 code of section 9.1.5, and its end; -1 if invalid."""
    lead = head[place]
    if lead < 0x80:
        return lead, place + 1
    following = next((count for count in range(1, 7) if not lead & 0x40 >> count), 0)
    if not lead & 0x40 or not following or place + following >= len(head):
        return -1, place
    number = lead & (0x3F >> following)
    for byte in head[place + 1 : place + 1 + following]:
        if byte & 0xC0 != 0x80:
            return -1, place
        number = number << 6 | byte & 0x3F
    return number, place + 1 + following


def _crc8_table() -> Iterator[int]:
    """Table of the CRC-8 of section 9.1.8, polynomial x^8 + x^2 + x + 1."""
    for value in range(256):
        for _ in range(8):
            value = (value << 1) ^ (0x107 if value & 0x80 else 0)
        yield value


_CRC8 = tuple(_crc8_table())
