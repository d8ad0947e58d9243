"""AIFF, CAF, AU, W64 and NIST SPHERE: containers whose header gives the number of bytes of samples."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from voiceae.io.integrity.layout import CodedStream, DamageError, Layout, Piece, only_zeros

_AU_UNKNOWN = 0xFFFFFFFF  # AUDIO_UNKNOWN_SIZE of Sun's audio_filehdr.h
# The chunk's GUID, which begins with its name in RIFF.
_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_HEAD = 24  # name and length of a chunk; the length counts them
_IGNORED = 1024  # bytes behind the samples that nothing accounts for: padding, not speech


@dataclass(frozen=True)
class _Promise:
    """What the header promises of the samples.

    Attributes:
        start: where they begin.
        length: bytes; None where the writer marked it as unknown.
        chunked: whether further chunks may follow.
        fields: numbers in the header that depend on the length: place, `struct` code, bytes per unit, added constant.
    """

    start: int
    length: int | None
    chunked: bool
    fields: tuple[tuple[int, str, int, int], ...] = ()


def examine_aiff(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check an AIFF or AIFF-C file (Apple 1989, 1991).

    Raises:
        DamageError: for missing chunks, or fewer bytes than promised.
    """
    position, common, frames, width = start + 12, -1, 0, 0
    while True:
        name, length = _chunk(file, position, stop, ">4sI", "SSND")
        if name == b"COMM":
            common = position + 8
            channels, frames, bits = struct.unpack(">hIh", file.read(8))
            file.seek(common + 18)
            plain = length < 22 or file.read(4) in (b"NONE", b"sowt", b"twos", b"in24", b"in32")
            width = channels * (-(-bits // 8)) if plain else 0  # compressed kinds have no fixed width
        elif name == b"SSND" and common >= 0:
            break
        position += 8 + length + length % 2
    samples = position + 16  # behind the name, length, offset and block size of SSND
    promised = max(length - 8, frames * width)
    fields = ((position + 4, ">I", 1, 8), (common + 2, ">I", width, 0)) if width else ()
    if 0 < frames * width < length - 8 - _IGNORED:
        raise DamageError(f"is damaged: {frames * width} bytes of samples promised, {length - 8} are there")
    return _layout(file, start, stop, _Promise(samples, promised, length > 8, fields))


def examine_caf(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check a Core Audio Format file (Apple 2006); a length of -1 means up to the end of the file.

    Raises:
        DamageError: for missing chunks, or fewer bytes than promised.
    """
    position = start + 8
    while True:
        name, length = _chunk(file, position, stop, ">4sq", "data")
        if name == b"data":
            break
        position += 12 + max(0, length)
    edits = 4  # bytes of the data chunk before the samples: mEditCount
    promise = None if length < 0 else max(0, length - edits)
    return _layout(
        file, start, stop, _Promise(position + 12 + edits, promise, True, ((position + 4, ">q", 1, edits),))
    )


def examine_au(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check an AU file of Sun, of either byte order.

    Raises:
        DamageError: for a cut header, or fewer bytes than promised.
    """
    file.seek(start)
    head = file.read(12)
    if len(head) < 12:
        raise DamageError("is truncated: its header is cut")
    order = ">" if head[:4] == b".snd" else "<"
    offset, length = struct.unpack(order + "II", head[4:])
    promise = None if length == _AU_UNKNOWN else length
    return _layout(
        file, start, stop, _Promise(start + offset, promise, False, ((start + 8, order + "I", 1, 0),))
    )


def examine_w64(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check a Wave64 file of Sonic Foundry: RIFF with GUIDs for names and lengths of 8 bytes.

    Raises:
        DamageError: for missing chunks, or fewer bytes than promised.
    """
    position = start + 40
    while True:
        name, length = _chunk(file, position, stop, "<16sQ", "data")
        if name == _W64_DATA:
            break
        position += max(_W64_HEAD, -(-length // 8) * 8)  # chunks are aligned to 8 bytes
    samples, fields = position + _W64_HEAD, ((position + 16, "<Q", 1, _W64_HEAD),)
    return _layout(file, start, stop, _Promise(samples, max(0, length - _W64_HEAD), True, fields))


def examine_nist(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check a NIST SPHERE file, whose header is text: lines of name, type and value.

    Raises:
        DamageError: for a cut header, or fewer bytes than promised.
    """
    file.seek(start)
    lines = file.read(1 << 14).split(b"\n")
    try:
        values = {part[0]: part[2] for line in lines[2:] if len(part := line.split()) == 3}
        offset = int(lines[1])
        numbers = [int(values.get(name, b"1")) for name in (b"channel_count", b"sample_n_bytes")]
        promise = int(values[b"sample_count"]) * numbers[0] * numbers[1]
    except (ValueError, IndexError, KeyError):
        return Layout()
    if values.get(b"sample_coding", b"pcm") not in (b"pcm", b"ulaw", b"alaw"):
        return Layout()
    return _layout(file, start, stop, _Promise(start + offset, promise, True))


def _chunk(file: BinaryIO, position: int, stop: int, code: str, what: str) -> tuple[bytes, int]:
    """Name and length of the chunk at a position."""
    file.seek(position)
    head = file.read(struct.calcsize(code))
    if len(head) < struct.calcsize(code) or position >= stop:
        raise DamageError(f"is truncated: its {what} chunk is missing")
    name, length = struct.unpack(code, head)
    return name, length


def _layout(file: BinaryIO, start: int, stop: int, promise: _Promise) -> Layout:
    """Compare the promise with the bytes in the file."""
    here, length = stop - promise.start, promise.length
    if length is None:  # libsndfile accepts an unknown length in AU only
        return Layout((CodedStream(_corrected(promise, here, start, stop)),)) if promise.chunked else Layout()
    if length > here:
        raise DamageError(f"is truncated: {length} bytes of samples promised, {here} are there")
    if length and (promise.chunked or here - length <= _IGNORED):
        return Layout()
    if here - length <= _IGNORED or only_zeros(file, promise.start + length, stop):
        return Layout()
    warning = (
        f"its header promises {length} bytes of samples, yet {here} follow (a recorder that stopped early?); "
        "all of them are taken"
    )
    return Layout((CodedStream(_corrected(promise, here, start, stop)),), (warning,))


def _corrected(promise: _Promise, here: int, start: int, stop: int) -> tuple[Piece, ...]:
    """The file with a header that gives the true length."""
    pieces: list[Piece] = []
    for place, code, unit, more in sorted(promise.fields):
        pieces += [range(start, place), struct.pack(code, here // unit + more)]
        start = place + struct.calcsize(code)
    return (*pieces, range(start, stop))
