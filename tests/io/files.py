"""Files of every container, and the same with something wrong."""

from __future__ import annotations

import io
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voiceae.errors import AudioError
from voiceae.io.audio import read

RATE = 16000


def speech(seconds: float = 4.0, rate: int = RATE, seed: int = 0) -> NDArray[np.float32]:
    """Syllables of harmonics with pauses between them, over a little noise: as even as speech, and no more."""
    time = np.arange(round(seconds * rate)) / rate
    voice = sum(np.cos(2 * np.pi * 120 * k * time + seed) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + seed), 0, None) * (
        np.sin(2 * np.pi * 0.5 * time) > -0.7
    )
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.15 * voice * syllables + 1e-3 * noise).astype(np.float32)


def encoded(
    wav: NDArray[np.float32], container: str, subtype: str = "PCM_16", rate: int = RATE, **options: object
) -> bytes:
    """The content of a file."""
    file = io.BytesIO()
    soundfile.write(file, wav, rate, format=container, subtype=subtype, **options)
    return file.getvalue()


def told(path: Path, content: bytes) -> tuple[NDArray[np.float32], str]:
    """What is read of a file of this content, and what was warned of."""
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wav = read(path).wav
    return wav, "\n".join(str(each.message) for each in caught)


def refused(path: Path, content: bytes) -> str:
    """Why a file of this content is refused, less its name."""
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{path}: "), message
    return message.removeprefix(f"{path}: ")


def pages(content: bytes) -> list[bytes]:
    """The pages of an Ogg."""
    found, position = [], 0
    while position < len(content):
        head = 27 + content[position + 26]
        size = head + sum(content[position + 27 : position + head])
        found.append(content[position : position + size])
        position += size
    return found


def crc(page: bytes) -> bytes:
    """A page with its checksum set, bit by bit as RFC 3533 has it."""
    page = page[:22] + bytes(4) + page[26:]
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 1 << 31 else value << 1) & 0xFFFFFFFF
    return page[:22] + struct.pack("<I", value) + page[26:]


def flac_frames(content: bytes) -> list[bytes]:
    """What stands before the first frame of a FLAC, and its frames (of fewer than 128)."""
    start, last = 4, False
    while not last:
        last = bool(content[start] & 0x80)
        start += 4 + int.from_bytes(content[start + 1 : start + 4], "big")
    starts, number = [start], 1
    mark = content[start : start + 2]
    while True:
        # The sync code with the next number four bytes on; a block size of its own only in the last frame.
        match = re.compile(re.escape(mark) + rb".." + re.escape(bytes([number])), re.DOTALL).search(
            content, starts[-1] + 1
        )
        if match is None:
            break
        starts.append(match.start())
        number += 1
    return [
        content[:start],
        *(content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)),
    ]


def mp3_frames(content: bytes) -> list[bytes]:
    """The frames of an MP3 as libsndfile writes it at 16 kHz (MPEG-2, layer III); the first holds the count."""
    kbps = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    frames, position = [], 0
    while position < len(content):
        third = content[position + 2]
        size = 72000 * kbps[third >> 4] // RATE + (third >> 1 & 1)
        frames.append(content[position : position + size])
        position += size
    return frames
