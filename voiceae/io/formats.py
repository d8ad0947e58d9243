"""Format of a file by its content (magic numbers), not by its name."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from voiceae.io.integrity import flac, mp3, ogg, pcm_containers, wav
from voiceae.io.integrity.layout import DamageError, Layout, only_zeros, without_tags

Examine: TypeAlias = Callable[[BinaryIO, int, int], Layout]
SUPPORTED_HINT = "give a whole file of wav, flac, ogg, opus, mp3 or aiff"
_HEAD_BYTES = 4096  # the marks of all formats lie in the first 377 bytes; the rest serves to recognise text
_CONVERT = "convert it first, for example with `ffmpeg -i FILE FILE.wav`"
# GUIDs: Sony's Wave64 ("riff" in lower case) and the header object of Microsoft's ASF.
_W64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_ASF = bytes.fromhex("3026b2758e66cf11")


@dataclass(frozen=True)
class Format:
    """Format of a file, and where its audio lies.

    Attributes:
        name: as people call it.
        examine: checks its integrity; None for formats that are left to libsndfile.
        start: where it begins, behind tags.
        stop: where it ends, before tags.
    """

    name: str
    examine: Examine | None
    start: int
    stop: int


def identify(file: BinaryIO, size: int) -> Format:
    """Identify a format by content.

    Args:
        file: open.
        size: its bytes.

    Raises:
        DamageError: for formats that cannot be read; the message names the format and the remedy.
    """
    start, stop = without_tags(file, size)
    file.seek(start)
    head = file.read(_HEAD_BYTES)
    for name, examine, is_one in _READABLE:
        if is_one(head):
            tagged = examine is flac.examine
            return Format(name, examine, start, stop if tagged else size)
    name = _foreign(head)
    if name:
        raise DamageError(f"is {name}, which cannot be read; {_CONVERT}")
    what = _no_sound(file, head, size)
    if what:
        raise DamageError(what)
    if mp3.first_frame(file, start, stop) >= 0:
        return Format("MP3", mp3.examine, start, stop)
    return Format("", None, start, size)


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


def _form(outer: tuple[bytes, ...], *inner: bytes) -> Callable[[bytes], bool]:
    """A container of chunks: its own name, four bytes of length, and the name of what it holds."""
    return lambda head: head.startswith(outer) and head[8:12] in inner


_READABLE: tuple[tuple[str, Examine, Callable[[bytes], bool]], ...] = (
    ("WAV", wav.examine, _form((b"RIFF", b"RIFX", b"RF64", b"BW64"), b"WAVE")),
    ("FLAC", flac.examine, _starts(b"fLaC")),
    ("Ogg", ogg.examine, _starts(b"OggS")),
    ("AIFF", pcm_containers.examine_aiff, _form((b"FORM",), b"AIFF", b"AIFC")),
    ("CAF", pcm_containers.examine_caf, _starts(b"caff")),
    ("AU", pcm_containers.examine_au, _starts(b".snd", b"dns.")),
    ("W64", pcm_containers.examine_w64, _starts(_W64)),
    ("NIST SPHERE", pcm_containers.examine_nist, _starts(b"NIST_1A")),
)
_FOREIGN: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("AVI video", _form((b"RIFF",), b"AVI ")),
    ("WMA or WMV (ASF)", _starts(_ASF)),
    ("AMR", _starts(b"#!AMR")),
    ("SILK", _starts(b"#!SILK", b"\x02#!SILK")),
    ("Monkey's Audio", _starts(b"MAC ")),
    ("WavPack", _starts(b"wvpk")),
    ("True Audio", _starts(b"TTA1", b"TTA2")),
    ("Musepack", _starts(b"MPCK", b"MP+")),
    ("DSD", _starts(b"DSD ", b"FRM8")),
    ("Shorten", _starts(b"ajkg")),
    ("OptimFROG", _starts(b"OFR ")),
    ("RealAudio or RealVideo", _starts(b".RMF", b".ra\xfd")),
    ("AAC (ADIF)", _starts(b"ADIF")),
    ("AC-3", _starts(b"\x0b\x77")),
    ("DTS", _starts(b"\x7f\xfe\x80\x01")),
    ("Flash video", _starts(b"FLV\x01")),
    ("MPEG video", _starts(b"\0\0\x01\xba", b"\0\0\x01\xb3")),
    # A transport stream: the sync byte 0x47 every 188 bytes (ISO/IEC 13818-1).
    ("MPEG video", lambda head: len(head) > 376 and head[0] == head[188] == head[376] == 0x47),
    ("MIDI, notes without sound", _starts(b"MThd")),
    # ADTS: the sync word of MPEG audio with the layer that MPEG audio does not have.
    ("AAC (ADTS)", lambda head: len(head) > 6 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0),
)
_OTHER: tuple[tuple[str, bytes | tuple[bytes, ...]], ...] = (
    ("a PDF document", b"%PDF"),
    ("a zip archive", b"PK\x03\x04"),
    ("an empty zip archive", b"PK\x05\x06"),
    ("a gzip archive", b"\x1f\x8b"),
    ("a bzip2 archive", b"BZh"),
    ("an xz archive", b"\xfd7zXZ"),
    ("a zstd archive", b"\x28\xb5\x2f\xfd"),
    ("a 7z archive", b"7z\xbc\xaf\x27\x1c"),
    ("a RAR archive", b"Rar!"),
    ("a PNG picture", b"\x89PNG"),
    ("a JPEG picture", b"\xff\xd8\xff"),
    ("a GIF picture", b"GIF8"),
    ("a BMP picture", b"BM"),
    ("a numpy array", b"\x93NUMPY"),
    ("an HDF5 file", b"\x89HDF"),
    ("an SQLite database", b"SQLite format 3"),
    ("a program", (b"\x7fELF", b"MZ")),
    ("a pickle", (b"\x80\x02", b"\x80\x04", b"\x80\x05")),
)


def _foreign(head: bytes) -> str:
    """Name of an audio or video format that libsndfile does not decode, or an empty string."""
    if head[4:8] == b"ftyp":  # ISO/IEC 14496-12, section 4.3
        brand = head[8:12]
        names = {b"M4A ": "MP4 audio (m4a)", b"M4B ": "MP4 audio (m4b)", b"qt  ": "QuickTime", b"3gp": "3GP"}
        return names.get(brand) or names.get(brand[:3]) or "MP4 (m4a audio or mp4 video)"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "QuickTime or MP4"
    if head.startswith(b"\x1aE\xdf\xa3"):  # EBML, RFC 8794
        return "WebM" if b"webm" in head[:64] else "Matroska"
    return next((name for name, is_one in _FOREIGN if is_one(head)), "")


def _no_sound(file: BinaryIO, head: bytes, size: int) -> str:
    """Message for a file that is no recording at all, or an empty string."""
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the recording; fetch it with `git lfs pull`"
    if len(head) > 8 and int.from_bytes(head[:8], "little") <= size and head[8:10] in (b'{"', b"{ "):
        return f"is a safetensors file, not audio; {SUPPORTED_HINT}"
    if head[257:262] == b"ustar":  # POSIX.1-1988, header of a tar archive
        return f"is a tar archive, not audio; {SUPPORTED_HINT}"
    other = next((name for name, mark in _OTHER if head.startswith(mark)), "")
    if other:
        return f"is {other}, not audio; {SUPPORTED_HINT}"
    if head and not any(head) and only_zeros(file, 0, size):
        return "holds nothing but zero bytes; copy or download it again"
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return ""
    if not text or not all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text):
        return ""
    if text.lstrip().lower().startswith(("<!doctype html", "<html", "<head")):
        return "is a web page (HTML), not audio; download the recording itself"
    return f"is text, not audio; {SUPPORTED_HINT}"
