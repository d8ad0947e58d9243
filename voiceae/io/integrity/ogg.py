"""Ogg (RFC 3533): numbers, checksums and positions of pages, for streams of Vorbis, Opus and FLAC."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from voiceae.io.integrity.layout import CodedStream, DamageError, Layout, Piece, find, merged

_HEADER = 27  # bytes of a page before its segment table (RFC 3533, section 6)
_FIRST, _LAST = 2, 4  # flags of the header type: beginning and end of a logical stream
_OPUS_RATE = 48000  # RFC 7845, section 4: positions count at 48 kHz, whatever was recorded
_CODECS = {  # first bytes of a stream's first packet
    b"\x01vorbis": "Vorbis",
    b"OpusHead": "Opus",
    b"\x7fFLAC": "FLAC",
    b"Speex   ": "Speex",
    b"\x80theora": "Theora video",
    b"BBCD": "Dirac video",
    b"OVP80": "VP8 video",
    b"fishead": "a skeleton",
    b"CMML": "captions",
    b"\x80kate": "captions",
    b"PCM     ": "PCM",
    b"\x80celt": "CELT",
    b"CELT    ": "CELT",
}
_READABLE = ("Vorbis", "Opus", "FLAC")
_INVERTED = 0xFFFFFFFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class _Stream:
    """One logical stream: the pages of one serial number."""

    codec: str
    following: int = 0
    ended: bool = False
    first: int = -1
    last: int = -1
    pages: list[range] = field(default_factory=list)
    last_page: bytes = b""

    def coded(self) -> CodedStream:
        """Stream for the decoder, counted from its first page: a recording of a live stream starts anywhere."""
        clock = _OPUS_RATE if self.codec == "Opus" else None
        pieces: tuple[Piece, ...] = merged(self.pages)
        if not self.ended:  # libsndfile refuses Opus without an end-of-stream flag
            marked = self.last_page[:5] + bytes([self.last_page[5] | _LAST]) + self.last_page[6:]
            pieces = (*merged(self.pages[:-1]), marked[:22] + _checksum(marked) + marked[26:])
        return CodedStream(pieces, max(0, self.last - self.first), clock, slack=1, total=max(0, self.last))


def examine(file: BinaryIO, start: int, stop: int) -> Layout:
    """Walk all pages.

    Args:
        file: open.
        start: where the first page is.
        stop: end of the file.

    Raises:
        DamageError: for a page that is missing, damaged or cut, and for streams that cannot be decoded.
    """
    links: list[dict[int, _Stream]] = []
    position, heading = start, False
    while position < stop:
        page = _page(file, position, stop)
        if page is None:
            position = _next_page(file, position, stop, links)
            continue
        flags, granule, serial, number = struct.unpack_from("<BqII", page, 5)
        if flags & _FIRST:
            if not heading:
                links.append({})
            packet = page[_HEADER + page[26] :]
            names = (name for start, name in _CODECS.items() if packet.startswith(start))
            links[-1][serial] = _Stream(next(names, "an unknown codec"))
        heading = bool(flags & _FIRST)
        if not links or serial not in links[-1]:
            raise DamageError("is damaged: its first page is missing")
        stream = links[-1][serial]
        if number != stream.following:
            raise DamageError(f"is damaged: page {stream.following} is missing")
        if page[22:26] != _checksum(page):
            raise DamageError(f"is damaged: page {number} is missing in part (its checksum is wrong)")
        stream.following, stream.ended = number + 1, stream.ended or bool(flags & _LAST)
        if granule > 0:
            stream.first, stream.last = stream.first if stream.first >= 0 else granule, granule
        stream.pages.append(range(position, position + len(page)))
        stream.last_page = page
        position += len(page)
    return _layout(links)


def _page(file: BinaryIO, position: int, stop: int) -> bytes | None:
    """The page at a position, None if there is none."""
    file.seek(position)
    head = file.read(_HEADER)
    if len(head) < _HEADER or head[:4] != b"OggS" or head[4] != 0:
        return None
    lacing = file.read(head[26])
    page = head + lacing + file.read(sum(lacing))
    if (
        len(lacing) < head[26]
        or len(page) < _HEADER + len(lacing) + sum(lacing)
        or position + len(page) > stop
    ):
        raise DamageError("is truncated: its last page is cut")
    return page


def _next_page(file: BinaryIO, position: int, stop: int, links: list[dict[int, _Stream]]) -> int:
    """Start of the next page behind other bytes, `stop` if none follows."""
    following = find(file, b"OggS\0", position + 1, stop)
    if following >= 0:
        return following
    file.seek(position)
    rest = file.read(4)
    if rest and b"OggS".startswith(rest):
        raise DamageError("is truncated: its last page is cut")
    unfinished = [stream for link in links[-1:] for stream in link.values() if not stream.ended]
    if unfinished:
        raise DamageError(f"is damaged: page {unfinished[0].following} is missing")
    return stop  # a tag, or padding


def _checksum(page: bytes) -> bytes:
    """CRC-32 of a page (RFC 3533, section 6): zlib's with reversed bits and without its two inversions."""
    bare = page[:22] + bytes(4) + page[26:]
    mirrored = zlib.crc32(bare.translate(_REVERSED), _INVERTED) ^ _INVERTED
    return mirrored.to_bytes(4, "big").translate(_REVERSED)


def _layout(links: list[dict[int, _Stream]]) -> Layout:
    streams, warnings = [], []
    for link in links:
        audio = [stream for stream in link.values() if stream.codec in _READABLE]
        if not audio:
            names = " and ".join(sorted({stream.codec for stream in link.values()}))
            raise DamageError(f"is Ogg that holds {names}, which cannot be read")
        if len(audio) > 1:
            warnings.append(f"holds {len(audio)} recordings side by side; the first is taken")
        if not audio[0].ended:
            warnings.append(
                "does not say where it ends: it was cut off, or recorded from a running stream; "
                "all that is there is taken"
            )
        streams.append(audio[0].coded())
    return Layout(tuple(streams), tuple(dict.fromkeys(warnings)))
