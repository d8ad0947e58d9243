"""WAV: RIFF (Microsoft and IBM 1991), its big-endian form RIFX, and RF64 or BW64 (EBU Tech 3306, ITU-R BS.2088)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from voiceae.io.integrity.layout import CodedStream, DamageError, Layout, only_zeros

# From here on, the length is one that a writer into a pipe gives because it cannot know
_UNKNOWN = 0x7FFFF000
_LARGEST = 0xFFFFFFFF
_IGNORED = 1024  # bytes after the samples that belong to no chunk: a tag or padding, not speech
_FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_EXTENSIBLE = 0xFFFE  # WAVE_FORMAT_EXTENSIBLE: the codec stands in the first two bytes of a GUID
_FIXED = {1: "PCM", 3: "float", 6: "A-law", 7: "mu-law"}  # codecs whose block is one sample of every channel
_FOREIGN = {  # WAVE_FORMAT_* of mmreg.h that libsndfile does not decode
    0x50: "MPEG audio",
    0x55: "MP3",
    **dict.fromkeys((0xFF, 0x1600, 0x1610), "AAC"),
    **dict.fromkeys((0x160, 0x161, 0x162, 0x163), "WMA"),
    0x2000: "AC-3",
    **dict.fromkeys((0x674F, 0x6750), "Vorbis"),
    0x704F: "Opus",
    0xA109: "Speex",
    0xF1AC: "FLAC",
}


@dataclass(frozen=True)
class _Header:
    """Header of one recording: all before its samples.

    Attributes:
        order: of the bytes, for `struct`.
        form: body of the `fmt ` chunk.
        samples: where they start.
        length: of them, as promised.
        broken: whether libsndfile could not follow the chunks.
    """

    order: str
    form: bytes
    samples: int
    length: int
    broken: bool

    @property
    def codec(self) -> int:
        tag = int(struct.unpack_from(self.order + "H", self.form)[0])
        return int(struct.unpack_from(self.order + "H", self.form, 24)[0]) if tag == _EXTENSIBLE else tag

    @property
    def block_align(self) -> int:
        return max(1, int(struct.unpack_from(self.order + "H", self.form, 12)[0]))


def examine(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check the chunks of a recording, and of others that were appended to it.

    Args:
        file: open.
        start: where the recording begins.
        stop: end of the file.

    Raises:
        DamageError: for missing chunks, fewer bytes than promised, or a codec that cannot be read.
    """
    streams: list[CodedStream] = []
    warnings: list[str] = []
    while start < stop:
        header = _header(file, start, stop)
        end, following, warning = _extent(file, header, stop)
        file.seek(start)
        # libsndfile knows neither BW64 nor a length that is wrong; RIFX has no 64-bit form.
        broken = header.broken or warning or following < stop or streams or file.read(4) == b"BW64"
        pieces = (_rewritten(header, end - header.samples), range(header.samples, end)) if broken else ()
        count = (end - header.samples) // header.block_align if header.codec in _FIXED else None
        streams.append(CodedStream(pieces, count, total=count))
        warnings += [warning] if warning else []
        start = following
    return Layout(tuple(streams), tuple(warnings))


def _header(file: BinaryIO, start: int, stop: int) -> _Header:
    file.seek(start)
    order = ">" if file.read(4) == b"RIFX" else "<"
    form, long_length, broken, position = b"", None, False, start + 12
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or position >= stop:
            raise DamageError("is truncated: its data chunk is missing")
        name, length = head[:4], struct.unpack(order + "I", head[4:])[0]
        if name == b"data":
            break
        if name == b"ds64":
            body = file.read(16)
            long_length = struct.unpack("<Q", body[8:16])[0] if len(body) == 16 else None
        elif name == b"fmt ":
            form = file.read(min(length, 1 << 12))
        position, padded = _after(file, position + 8 + length, length)
        broken |= not padded
    if len(form) < 14:
        raise DamageError("is damaged: its fmt chunk is missing")
    if len(form) < 26 and struct.unpack_from(order + "H", form)[0] == _EXTENSIBLE:
        raise DamageError("is damaged: its fmt chunk is cut")
    if length == _LARGEST and long_length is not None:
        length = long_length
    header = _Header(order, form, position + 8, length, broken)
    if header.codec in _FOREIGN:
        raise DamageError(f"is WAV that holds {_FOREIGN[header.codec]}, which cannot be read")
    return header


def _after(file: BinaryIO, position: int, length: int) -> tuple[int, bool]:
    """Start of the next chunk, and whether the padding of an odd length is there."""
    if length % 2 == 0:
        return position, True
    file.seek(position)
    following = file.read(5)
    unpadded = _is_name(following[:4]) and not _is_name(following[1:])
    return position + (not unpadded), not unpadded


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _extent(file: BinaryIO, header: _Header, stop: int) -> tuple[int, int, str]:
    """End of the samples, start of the next recording (or `stop`), and a warning if the length is wrong."""
    start, length = header.samples, header.length
    here = stop - start
    if length > here:
        if length >= _UNKNOWN and length <= _LARGEST:
            return stop, stop, "its header does not say how long it is; all that is there is taken"
        if length <= stop:
            excess = f"its header promises {length - here} bytes too many; all that is there is taken"
            return stop, stop, excess
        raise DamageError(f"is truncated: {length} bytes of samples promised, {here} are there")
    end = start + length
    after = _after(file, end, length)[0]
    for name, position, known in _chunks(file, after, stop, header.order):
        if name in _FORMS:
            return end, position, ""
        if name == b"data":
            raise DamageError("is damaged: it has more than one data chunk")
        if not known and position == after and stop - end > _IGNORED and not only_zeros(file, end, stop):
            more = f"its header promises {length} bytes of samples, yet {here} follow (a recorder that stopped early?)"
            return stop, stop, f"{more}; all of them are taken"
    return end, stop, ""


def _chunks(file: BinaryIO, position: int, stop: int, order: str) -> Iterator[tuple[bytes, int, bool]]:
    """Name and place of each chunk, and whether it is plausible; ends after the first that is not."""
    while position + 8 <= stop:
        file.seek(position)
        head = file.read(12)
        name, length = head[:4], struct.unpack(order + "I", head[4:8])[0]
        known = _is_name(name) and position + 8 + length <= stop + 1
        if name in _FORMS:
            known = head[8:12] == b"WAVE"
            name = name if known else b""
        yield name, position, known
        if not known or name in _FORMS:
            return
        position = _after(file, position + 8 + length, length)[0]


def _rewritten(header: _Header, length: int) -> bytes:
    """A header with the true length, as RF64 where RIFF's 32 bits do not hold it."""
    order, form = header.order, header.form + bytes(len(header.form) % 2)
    chunk = b"fmt " + struct.pack(order + "I", len(form)) + form
    if length > _UNKNOWN and order == "<":
        long = struct.pack("<QQQI", length + len(chunk) + 52, length, length // header.block_align, 0)
        sizes = b"ds64" + struct.pack("<I", len(long)) + long
        return b"RF64" + struct.pack("<I", _LARGEST) + b"WAVE" + sizes + chunk + b"data" + b"\xff" * 4
    size = struct.pack(order + "I", min(_LARGEST, length))
    whole = struct.pack(order + "I", min(_LARGEST, length + len(chunk) + 12))
    return (b"RIFX" if order == ">" else b"RIFF") + whole + b"WAVE" + chunk + b"data" + size
