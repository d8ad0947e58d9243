from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.io.files import encoded, refused, speech, told

WAV = speech(2.0)
STEP = 2 / 32768
W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")


def stale(container: str, content: bytes) -> bytes:
    """As a recorder leaves it that never came to write the length."""
    place, size = {
        "AIFF": (content.find(b"SSND") + 4, 4),
        "CAF": (content.find(b"data") + 4, 8),
        "AU": (8, 4),
        "W64": (content.find(W64_DATA) + 16, 8),
    }[container]
    content = content[:place] + bytes(size) + content[place + size :]
    if container == "AIFF":
        frames = content.index(b"COMM") + 10
        content = content[:frames] + bytes(4) + content[frames + 4 :]
    return content


@pytest.mark.parametrize("container", ["AIFF", "CAF", "AU", "W64", "NIST"])
def test_whole_and_cut(tmp_path: Path, container: str) -> None:
    content = encoded(WAV, container)
    wav, warning = told(tmp_path / "a.bin", content)
    np.testing.assert_allclose(wav, WAV, atol=STEP)
    assert not warning
    for kept in (len(content) - 600, 20_000):
        assert "is truncated: " in refused(tmp_path / "a.bin", content[:kept])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("container", ["AIFF", "CAF", "AU", "W64"])
def test_a_recorder_that_never_wrote_the_length(tmp_path: Path, container: str, subtype: str) -> None:
    content = stale(container, encoded(WAV, container, subtype))
    wav, warning = told(tmp_path / "a.bin", content)
    np.testing.assert_allclose(wav[: len(WAV)], WAV, atol=STEP)
    assert len(wav) - len(WAV) < 10 and "all of them are taken" in warning


def test_lengths_that_are_openly_unknown(tmp_path: Path) -> None:
    au, caf = encoded(WAV, "AU"), encoded(WAV, "CAF")
    place = caf.index(b"data") + 4
    for content in (au[:8] + b"\xff" * 4 + au[12:], caf[:place] + b"\xff" * 8 + caf[place + 8 :]):
        wav, warning = told(tmp_path / "a.bin", content)
        np.testing.assert_allclose(wav, WAV, atol=STEP)
        assert not warning


def test_little_endian_au(tmp_path: Path) -> None:
    head = b"dns." + struct.pack("<5I", 24, 2 * len(WAV), 3, 16000, 1)
    wav, _ = told(tmp_path / "a.au", head + (WAV * 32768).astype("<i2").tobytes())
    np.testing.assert_allclose(wav, WAV, atol=STEP)
