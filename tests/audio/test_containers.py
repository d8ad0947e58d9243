from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio.waves import RATE, refusal, riff, tone
from voiceae.audio.containers import missing_bytes
from voiceae.audio.io import read


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.97])
@pytest.mark.parametrize(
    ("name", "container", "subtype"),
    [
        ("a.wav", "WAV", "PCM_16"),
        ("a.wav", "RF64", "FLOAT"),
        ("a.flac", "FLAC", "PCM_16"),
        ("a.ogg", "OGG", "VORBIS"),
        ("a.opus", "OGG", "OPUS"),
        ("a.mp3", "MP3", "MPEG_LAYER_III"),
    ],
)
def test_truncated(tmp_path: Path, name: str, container: str, subtype: str, kept: float) -> None:
    rate = 48000 if subtype == "OPUS" else RATE
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * rate)
    soundfile.write(tmp_path / name, noise, rate, format=container, subtype=subtype)
    whole = (tmp_path / name).read_bytes()
    read(tmp_path / name)
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole))])
    message = refusal(tmp_path / name)
    assert "truncated" in message or "cannot be read as audio" in message


def test_truncated_between_two_mp3_frames_without_a_count(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", tone(44100, 3.0), 44100)
    whole = (tmp_path / "a.mp3").read_bytes()
    start = whole.index(b"\xff\xfb", 4)  # past the first frame, which holds the count
    (tmp_path / "whole.mp3").write_bytes(whole[start:] + b"TAG" + bytes(125))
    read(tmp_path / "whole.mp3")
    (tmp_path / "cut.mp3").write_bytes(whole[start:-40])
    assert "truncated" in refusal(tmp_path / "cut.mp3")


def test_a_wav_written_into_a_pipe_has_no_size(tmp_path: Path) -> None:
    content = bytearray(riff(tone(), RATE, 16))
    content[40:44] = content[4:8] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read(tmp_path / "a.wav").wav) == RATE


def test_a_chunk_after_the_samples_is_no_matter(tmp_path: Path) -> None:
    content = riff(tone(seconds=0.5), RATE, 16)
    (tmp_path / "a.wav").write_bytes(content + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert read(tmp_path / "a.wav").seconds == 0.5


@pytest.mark.parametrize(("name", "subtype"), [("a.ogg", "VORBIS"), ("a.opus", "OPUS")])
def test_truncated_between_two_ogg_pages(tmp_path: Path, name: str, subtype: str) -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * 48000)
    soundfile.write(tmp_path / name, noise, 48000, format="OGG", subtype=subtype)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: whole.rindex(b"OggS")])
    assert "does not end the stream" in refusal(tmp_path / name)


def test_truncated_between_two_mp3_frames_with_a_count(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", np.random.default_rng(0).uniform(-0.3, 0.3, 5 * 44100), 44100)
    whole = (tmp_path / "a.mp3").read_bytes()
    header = whole.rindex(whole[:2])
    while missing_bytes(tmp_path / "a.mp3", "MP3") or header > len(whole) * 0.8:
        header = whole.rindex(whole[:2], 0, header)
        (tmp_path / "a.mp3").write_bytes(whole[:header])
    assert "samples promised" in refusal(tmp_path / "a.mp3")
