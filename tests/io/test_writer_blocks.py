from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tiny import full_disk
from voiceae.errors import OutputError
from voiceae.io import audio as audio_io
from voiceae.io import recording
from voiceae.io.audio import Audio, header_seconds
from voiceae.io.writer import atomic_writer

RATE = 22050


def noise(samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(3).standard_normal(samples)).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_blocks_make_the_file_that_the_whole_makes(tmp_path: Path, suffix: str) -> None:
    wav = noise(100_000)
    audio_io.write(tmp_path / f"whole{suffix}", Audio(wav, RATE))
    with atomic_writer(tmp_path / f"blocks{suffix}", RATE) as append:
        for part in np.split(wav, [1, 500, 500, 70_001]):
            append(part)
    whole, blocks = (audio_io.read(tmp_path / f"{name}{suffix}").wav for name in ("whole", "blocks"))
    assert len(whole) == len(blocks) == len(wav)
    np.testing.assert_allclose(blocks, whole, atol=0 if suffix != ".ogg" else 0.05)


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_writer(tmp_path / "a.wav", RATE) as append:
        append(noise(1000))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_is_said_in_one_line(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"a{suffix}"
    reason = f"a{suffix}: cannot be written: File too large"
    with pytest.raises(OutputError, match=reason), full_disk(50_000), atomic_writer(out, RATE) as append:
        for _ in range(20):
            append(noise(20_000))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "there.wav").write_bytes(b"mine")
    for name, reason in (("there.wav", "exists already"), ("a.xyz", "cannot write .xyz")):
        with pytest.raises(OutputError, match=reason), atomic_writer(tmp_path / name, RATE):
            raise AssertionError
    assert (tmp_path / "there.wav").read_bytes() == b"mine"


def test_promised_seconds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", noise(8000), 16000)
    assert header_seconds(tmp_path / "a.flac") == 0.5
    assert header_seconds(Audio(noise(8000), 8000)) == 1
    assert header_seconds(tmp_path / "missing.wav") == 0
    (tmp_path / "text.wav").write_text("no sound")
    assert header_seconds(tmp_path / "text.wav") == 0
    assert not math.isnan(header_seconds(tmp_path / "a.flac"))


@pytest.mark.parametrize("rate", [16000, 22050])
def test_reading_in_blocks_gives_what_load_gives(
    tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack((noise(40_000), 0.5 * noise(40_000)), axis=1), 16000)
    whole = audio_io.load(path, rate).wav
    monkeypatch.setattr(audio_io, "_BLOCK", 5000)
    monkeypatch.setattr(recording, "BLOCK", 10_000)
    parts = list(audio_io.blocks(path, rate))
    assert len(parts) > 3
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    in_memory = list(audio_io.blocks(audio_io.read(path), rate))
    assert len(in_memory) > 3 and sum(map(len, in_memory)) == len(whole)
