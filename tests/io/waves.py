"""Waves and files whose content is known."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceae.errors import AudioError
from voiceae.io.audio import load

RATE = 22050


def tone(rate: int = RATE, seconds: float = 1.0, hertz: float = 440.0) -> NDArray[np.float64]:
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def harmonic(f0: float, seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    """Ten harmonics that fall by 6 dB an octave, about as loud as speech."""
    time = np.arange(int(rate * seconds)) / rate
    return np.sum([0.1 / k * np.cos(2 * np.pi * k * f0 * time) for k in range(1, 11)], axis=0).astype(
        np.float32
    )


def riff(samples: NDArray[np.float64], rate: int, bits: int, is_float: bool = False) -> bytes:
    """A WAV file written out by hand: (N,) or (N, channels)."""
    frames = samples[:, None] if samples.ndim == 1 else samples
    if is_float:
        body = frames.astype("<f4" if bits == 32 else "<f8").tobytes()
    else:
        integers = np.round(frames * (2 ** (bits - 1) - 1)).astype("<i4")
        body = integers.view(np.uint8).reshape(*integers.shape, 4)[..., : bits // 8].tobytes()
    channels, width = frames.shape[1], bits // 8
    form = struct.pack(
        "<HHIIHH", 3 if is_float else 1, channels, rate, rate * channels * width, channels * width, bits
    )
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def refusal(path: Path, **arguments: object) -> str:
    with pytest.raises(AudioError) as caught:
        load(path, RATE, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{path}: "), message
    return message
