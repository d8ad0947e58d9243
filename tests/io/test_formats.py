from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

import pytest

from tests.io.files import refused


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", bytes(5000))
    return file.getvalue()


HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
BOX = struct.pack(">I", 32) + b"ftyp"
CONTENTS = {
    "MP4 audio (m4a)": BOX + b"M4A " + bytes(4000),
    "MP4 (m4a audio or mp4 video)": BOX + b"isom" + bytes(4000),
    "3GP": BOX + b"3gp5" + bytes(4000),
    "QuickTime": BOX + b"qt  " + bytes(4000),
    "QuickTime or MP4": bytes(4) + b"mdat" + bytes(4000),
    "WebM": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm"
    + bytes(400),
    "Matroska": b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska" + bytes(400),
    "WMA or WMV (ASF)": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(4000),
    "AMR": b"#!AMR\n" + bytes(range(256)),
    "AAC (ADTS)": bytes.fromhex("fff15080") + bytes(range(256)) * 4,
    "AVI video": b"RIFF\0\0\0\0AVI LIST" + bytes(4000),
    "MPEG video": b"\0\0\x01\xba" + bytes(4000),
    "WavPack": b"wvpk" + bytes(4000),
    "Monkey's Audio": b"MAC " + bytes(4000),
    "MIDI, notes without sound": b"MThd\0\0\0\6" + bytes(4000),
    "a web page (HTML)": b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "text": "Für später: a list of things\n".encode() * 50,
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "a zip archive": zipped(),
    "a gzip archive": gzip.compress(bytes(5000)),
    "a safetensors file": struct.pack("<Q", len(HEADER)) + HEADER + bytes(36),
    "a PDF document": b"%PDF-1.7\n" + bytes(500),
    "a PNG picture": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "a numpy array": b"\x93NUMPY\1\0" + bytes(500),
    "a pickle": b"\x80\x04\x95" + bytes(500),
}


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".flac"])
@pytest.mark.parametrize("name", CONTENTS)
def test_what_a_file_is_instead(tmp_path: Path, name: str, suffix: str) -> None:
    message = refused(tmp_path / f"a{suffix}", CONTENTS[name])
    assert message.startswith(f"is {name}") and ";" in message


@pytest.mark.parametrize("name", ["MP4 audio (m4a)", "AAC (ADTS)", "AMR"])
def test_tags_before_it(tmp_path: Path, name: str) -> None:
    tag = b"ID3\x03\0\0\0\0\1\0" + bytes(128)
    assert refused(tmp_path / "a.mp3", tag + CONTENTS[name]).startswith(f"is {name}")


def test_nothing_but_zeros(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.wav", bytes(100_000)).startswith("holds nothing but zero bytes")


@pytest.mark.parametrize("content", [b"\xff", b"\xff\xfb\x90", bytes(range(128, 256)) * 40, b"\1\2\3"])
def test_what_nobody_knows(tmp_path: Path, content: bytes) -> None:
    assert "cannot be read as audio" in refused(tmp_path / "a.wav", content)
