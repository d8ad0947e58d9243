"""MPEG audio (ISO/IEC 11172-3, 13818-3): lengths of frames, and their count in a first frame (Xing, Info, VBRI)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import BinaryIO

from voiceae.io.integrity.layout import CodedStream, DamageError, Layout, merged, only_zeros, tag_at

_KBPS = {  # by (MPEG-1 or not, layer): ISO/IEC 11172-3, 2.4.2.3, and 13818-3, 2.4.2.3
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version
_MPEG1 = 3  # code of the version; 2 is MPEG-2, 0 the "MPEG-2.5" of Fraunhofer
_HEAD = 4  # bytes
_CHUNK = 1 << 20
_SEARCH = 1 << 17  # bytes in which the first frame is looked for
_LONGEST_FREE = 8192  # bytes of a frame in free format; LAME's most, 640 kbit/s, are 5,760 at 8 kHz
_VBRI = 36  # place of Fraunhofer's count, whatever the channels
# Places of these letters in a frame.
_COUNTS = {b"Xing": (36, 21, 13), b"Info": (36, 21, 13), b"VBRI": (_VBRI,)}
_COUNT = 192  # bytes of a frame that hold all that is read of its count
_DELAYS = 21  # of the encoder, behind its name and its settings (LAME tag, revision 1)
_REST = 4096  # bytes at the end that may be anything, such as tags of unknown kinds
_SLACK = 2 * 1152  # samples that a decoder may drop: its first frame, and the encoder's delay


@dataclass(frozen=True)
class _Kind:
    """Version, layer and rate, which all frames of a stream share."""

    version: int
    layer: int
    rate_code: int
    free_length: int = 0

    @property
    def samples(self) -> int:
        """Samples that one frame stands for, of each channel."""
        return 384 if self.layer == 1 else 1152 if self.layer == 2 or self.version == _MPEG1 else 576

    @property
    def rate(self) -> int:
        """Sample rate of the stream, Hz."""
        return _RATES[self.version][self.rate_code]


@dataclass
class _Run:
    """Frames that are decoded together.

    Attributes:
        frames: how many, without the one that holds the count.
        promised: the count, None without one.
        strict: whether the count is known to exclude its own frame.
        cut: samples of delay and padding that the decoder removes.
        ranges: where they are.
        count: the frame that holds the count.
    """

    frames: int = 0
    promised: int | None = None
    strict: bool = False
    cut: int = 0
    ranges: list[range] = field(default_factory=list)
    count: range = range(0)


def first_frame(file: BinaryIO, start: int, stop: int) -> int:
    """Position of the first frame that others follow, -1 if there is none near the beginning."""
    file.seek(start)
    head = file.read(min(_SEARCH + 3 * _LONGEST_FREE, stop - start))
    place = head.find(b"\xff")
    while 0 <= place < _SEARCH:
        kind = _kind(head, place)
        if kind and _followed(head, place, kind, whole=start + len(head) == stop):
            return start + place
        place = head.find(b"\xff", place + 1)
    return -1


def examine(file: BinaryIO, start: int, stop: int) -> Layout:
    """Check all frames of a file.

    Args:
        file: open.
        start: of the file, behind its tags.
        stop: end of the last one.

    Raises:
        DamageError: for a frame that is missing or cut, and for other bytes between frames.
    """
    first = max(start, first_frame(file, start, stop))
    file.seek(first)
    head = file.read(3 * _LONGEST_FREE)
    kind = _kind(head, 0)
    if kind is None:
        raise DamageError("is damaged: its first frame is missing")
    runs = _runs(file, first, stop, kind)
    warnings: list[str] = []
    if not only_zeros(file, start, first):
        warnings.append(
            f"begins with {first - start} bytes that belong to no frame; its beginning may be missing"
        )
    streams = tuple(_checked(run, kind, head, warnings) for run in runs if run.frames)
    if not streams:
        raise DamageError("is truncated: it ends before the first frame of sound")
    return Layout(streams, tuple(dict.fromkeys(warnings)))


def _runs(file: BinaryIO, start: int, stop: int, kind: _Kind) -> list[_Run]:
    """Walk the frames; a frame with a count begins a new run, as in files that were joined."""
    lengths, position = _lengths(kind), start
    runs = [_Run()]
    while position < stop:
        file.seek(position)
        chunk = file.read(min(_CHUNK, stop - position))
        complete = len(chunk) - (_COUNT if position + len(chunk) < stop else 0)
        counts = set(_counts(chunk))
        # The inner loop: looking up three bytes is several times as fast as decoding their bits.
        offset = frames = 0
        while (
            (length := lengths.get(chunk[offset : offset + 3])) and offset < complete and offset not in counts
        ):
            offset += length
            frames += 1
        if position + offset > stop:
            raise DamageError(f"is truncated: its last frame lacks {position + offset - stop} bytes")
        runs[-1].frames += frames
        runs[-1].ranges.append(range(position, position + offset))
        position += offset
        if length and offset < complete:
            runs.append(_counted(chunk[offset : offset + _COUNT], range(position, position + length)))
            position += length
        elif position < stop and offset < complete:
            position = _skipped(file, position, stop, kind)
    return runs


def _checked(run: _Run, kind: _Kind, head: bytes, warnings: list[str]) -> CodedStream:
    """Stream of a run, if all of it is there."""
    if run.promised is not None and run.promised > run.frames + (not run.strict):
        raise DamageError(f"is truncated or damaged: {run.promised} frames promised, {run.frames} are there")
    if run.promised is not None and run.promised >= run.frames:
        samples = max(0, run.frames * kind.samples - run.cut)
        return CodedStream(merged([run.count, *run.ranges]), samples, kind.rate, _SLACK, total=samples)
    if run.promised is not None:
        warnings.append(f"promises {run.promised} frames, yet {run.frames} follow; all of them are taken")
    # Without a count mpg123 guesses the length from the bytes of the first frame, and stops there.
    count = (_count_frame(kind, head, run.frames),) if kind.layer == 3 else ()
    samples = run.frames * kind.samples
    return CodedStream((*count, *merged(run.ranges)), samples, kind.rate, _SLACK, total=samples)


def _counts(chunk: bytes) -> Iterator[int]:
    """Positions of frames that would hold the counts found in these bytes."""
    for name, places in _COUNTS.items():
        found = chunk.find(name)
        while found >= 0:
            yield from (found - place for place in places)
            found = chunk.find(name, found + 1)


def _counted(head: bytes, place: range) -> _Run:
    """The run that a frame with a count begins."""
    vbri = head[_VBRI : _VBRI + 4] == b"VBRI"
    if vbri:
        return _Run(promised=int.from_bytes(head[_VBRI + 14 : _VBRI + 18], "big"), count=place)
    start = _HEAD + _side_information(head)
    if head[start : start + 4] not in _COUNTS:
        return _Run(frames=1, ranges=[place])  # sound that happens to hold these letters
    flags = int.from_bytes(head[start + 4 : start + 8], "big")
    if not flags & 1:
        return _Run()
    promised = int.from_bytes(head[start + 8 : start + 12], "big")
    # After the flags, as far as they are set: numbers of frames and bytes, a table of contents, the quality.
    encoder = start + 8 + 4 + (4 if flags & 2 else 0) + (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    strict = head[encoder : encoder + 4] in (b"LAME", b"Lavf", b"Lavc")
    delays = int.from_bytes(head[encoder + _DELAYS : encoder + _DELAYS + 3], "big") if strict else 0
    return _Run(promised=promised, strict=strict, cut=(delays >> 12) + (delays & 0xFFF), count=place)


def _count_frame(kind: _Kind, head: bytes, frames: int) -> bytes:
    """A frame with the count of those that follow, in Xing's format."""
    start = _HEAD + _side_information(head)
    second = 0xE0 | kind.version << 3 | (4 - kind.layer) << 1 | 1
    lengths = _lengths(kind)
    keys = (bytes([0xFF, second, code << 4 | kind.rate_code << 2]) for code in range(1, 15))
    key = next(key for key in keys if lengths[key] >= start + 12)
    count = b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return (key + head[3:4] + bytes(start - _HEAD) + count).ljust(lengths[key], b"\0")


def _side_information(head: bytes) -> int:
    """Bytes of the side information: fewer for MPEG-2 and for one channel."""
    mono, mpeg1 = head[3] >> 6 == 3, head[1] >> 3 & 3 == _MPEG1
    return 17 if mono == mpeg1 else 32 if mpeg1 else 9


def _skipped(file: BinaryIO, position: int, stop: int, kind: _Kind) -> int:
    """Position after bytes that are no frame of this kind."""
    size = tag_at(file, position, stop)
    if size:
        return position + size
    following = first_frame(file, position, stop)
    if following == position:
        raise DamageError(f"changes its sample rate or layer at byte {position}, so it cannot be read as one")
    if following > 0:
        raise DamageError(f"is damaged: {following - position} bytes at byte {position} belong to no frame")
    file.seek(position)
    if stop - position < _HEAD or file.read(3) in _lengths(kind):
        raise DamageError("is truncated: its last frame is cut")
    if stop - position > _REST and not only_zeros(file, position, stop):
        raise DamageError(f"is damaged: {stop - position} bytes at byte {position} belong to no frame")
    return stop


def _kind(data: bytes, place: int) -> _Kind | None:
    """Kind of the frame at a place, None if the bytes are no header."""
    if place + _HEAD > len(data) or data[place] != 0xFF or data[place + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[place + 1] >> 3 & 3, 4 - (data[place + 1] >> 1 & 3)
    kbps_code, rate_code = data[place + 2] >> 4, data[place + 2] >> 2 & 3
    if version == 1 or layer == 4 or kbps_code == 15 or rate_code == 3:
        return None
    return _Kind(version, layer, rate_code, 0 if kbps_code else _free_length(data, place))


def _free_length(data: bytes, place: int) -> int:
    """Bytes of a frame in free format without padding: up to the next such header; 0 if there is none."""
    head = data[place + 1 : place + 3]
    found = data.find(b"\xff", place + 24)
    while 0 < found <= place + _LONGEST_FREE:
        if found + 3 <= len(data) and data[found + 1] == head[0] and (data[found + 2] ^ head[1]) & 0xFC == 0:
            return found - place - (head[1] >> 1 & 1)
        found = data.find(b"\xff", found + 1)
    return 0


def _followed(data: bytes, place: int, kind: _Kind, whole: bool) -> bool:
    """Whether two more frames of this kind follow, or the file ends."""
    lengths = _lengths(kind)
    for _ in range(3):
        length = lengths.get(data[place : place + 3])
        if not length:
            return False
        place += length
        if place >= len(data):
            return not whole or place == len(data)
    return True


@lru_cache(maxsize=64)
def _lengths(kind: _Kind) -> dict[bytes, int]:
    """Length of a frame in bytes, by the first three bytes of its header (ISO/IEC 11172-3, 2.4.3.1)."""
    rate, layer = kind.rate, kind.layer
    slots = 12000 if layer == 1 else 144000 if layer == 2 or kind.version == _MPEG1 else 72000
    unit = 4 if layer == 1 else 1
    found = {}
    for code, kbps in enumerate(_KBPS[kind.version == _MPEG1, layer]):
        bare = slots * kbps // rate * unit if code else kind.free_length
        for padding, private, unprotected in product((0, 1), repeat=3):
            second = 0xE0 | kind.version << 3 | (4 - layer) << 1 | unprotected
            third = code << 4 | kind.rate_code << 2 | padding << 1 | private
            if bare:
                found[bytes([0xFF, second, third])] = bare + padding * unit
    return found
