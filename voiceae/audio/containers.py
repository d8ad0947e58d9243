"""Is a file whole? Decoders shorten a cut file without a word, so the containers themselves are asked."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_UNKNOWN_SIZE = 0x7FFFF000  # writers into a pipe put this or more where they cannot know the size
_OGG_PAGE = 65307  # the longest page: 27 bytes of header, 255 of lacing, 255 * 255 of payload
_MPEG1_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def missing_bytes(path: Path, container: str) -> str | None:
    """What is missing at the end of a file, in words, or None when it looks whole.

    Args:
        path: the file.
        container: the name libsndfile gives it; the others are checked by their decoders.
    """
    checks = {"WAV": _wav, "WAVEX": _wav, "RF64": _wav, "OGG": _ogg, "MP3": _mp3}
    if container not in checks:
        return None
    with path.open("rb") as file:
        return checks[container](file)


def _size(file: BinaryIO) -> int:
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def _wav(file: BinaryIO) -> str | None:
    """RIFF and RF64 chunks up to `data`; Microsoft's RIFF description, EBU Tech 3306 for the 64-bit size."""
    size, long_data = _size(file), None
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        if name == b"ds64":
            body = file.read(length)
            long_data = struct.unpack("<Q", body[8:16])[0] if len(body) >= 16 else None
            continue
        if name == b"data":
            here = size - file.tell()
            if length == 0xFFFFFFFF and long_data is not None:
                length = long_data
            elif length >= _UNKNOWN_SIZE:
                return None
            return f"{length} bytes of samples promised, {here} are there" if here < length else None
        file.seek(length + length % 2, os.SEEK_CUR)
    return "its data chunk is missing"


def _ogg(file: BinaryIO) -> str | None:
    """Last page complete and flagged as the end of the stream; RFC 3533, section 6."""
    file.seek(max(0, _size(file) - 2 * _OGG_PAGE))
    tail = file.read()
    start = tail.rfind(b"OggS")
    while start >= 0:
        header = tail[start : start + 27]
        if len(header) < 27:
            return "its last page is cut"
        lacing = tail[start + 27 : start + 27 + header[26]]
        end = start + 27 + header[26] + sum(lacing)
        if header[4] == 0:  # the version; anything else is payload that happens to say OggS
            if len(lacing) < header[26] or end > len(tail):
                return "its last page is cut"
            return None if header[5] & 4 else "its last page does not end the stream"
        start = tail.rfind(b"OggS", 0, start)
    return "its last page is missing"


def _mp3(file: BinaryIO) -> str | None:
    """Last frame complete: walk the frame headers of layer III; ISO/IEC 11172-3, section 2.4."""
    data = memoryview(file.read())
    position = 0
    while bytes(data[position : position + 3]) == b"ID3" and len(data) >= position + 10:
        b = data[position + 6 : position + 10]
        position += 10 + (b[0] << 21 | b[1] << 14 | b[2] << 7 | b[3])
    while length := _mp3_frame(data[position : position + 4]):
        if position + length > len(data):
            return f"its last frame lacks {position + length - len(data)} bytes"
        position += length
    return None  # what follows the frames is a tag, or something only the decoder can judge


def _mp3_frame(head: memoryview) -> int:
    """Bytes of the frame that starts with these four, 0 when they are no layer III header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] & 0x06 != 0x02:
        return 0
    version, kbps, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbps in (0, 15) or rate == 3:
        return 0
    table, slots = (_MPEG1_KBPS, 144000) if version == 3 else (_MPEG2_KBPS, 72000)
    return slots * table[kbps] // _MP3_RATES[version][rate] + (head[2] >> 1 & 1)
