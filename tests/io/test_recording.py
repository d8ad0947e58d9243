from __future__ import annotations

import socket
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.io.files import encoded, speech, told
from tests.io.waves import RATE, refusal, riff, tone
from voiceae.errors import AudioError
from voiceae.io import audio as audio_io
from voiceae.io import recording
from voiceae.io.audio import read
from voiceae.io.channels import ChannelMeter


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


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a", "a.txt", "A.OPUS"])
@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
        ("W64", "PCM_16"),
    ],
)
def test_the_content_counts_and_not_the_name(tmp_path: Path, name: str, container: str, subtype: str) -> None:
    wav = speech(2.0)
    heard, warning = told(tmp_path / name, encoded(wav, container, subtype))
    assert abs(len(heard) - len(wav)) < 1200 and not warning
    same = np.corrcoef(heard[:30_000], wav[:30_000])[0, 1]
    assert same > 0.9
    assert audio_io.info(tmp_path / name).seconds == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize("rate", [1, 999, 800_000, 10_000_000])
def test_absurd_rates(tmp_path: Path, rate: int) -> None:
    (tmp_path / "a.wav").write_bytes(riff(tone(), rate, 16))
    assert f"its header says {rate} Hz" in refusal(tmp_path / "a.wav")


def test_whole_and_in_blocks_are_refused_alike(tmp_path: Path) -> None:
    content = encoded(speech(2.0), "FLAC")
    (tmp_path / "a.flac").write_bytes(content[:9000])
    for reading in (audio_io.read, audio_io.info, lambda path: list(audio_io.blocks(path, RATE))):
        with pytest.raises(AudioError, match="is truncated"):
            reading(tmp_path / "a.flac")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/full"])
def test_devices(device: str) -> None:
    with pytest.raises(AudioError, match="is a device or terminal"):
        audio_io.read(device)


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(AudioError, match="s: is a socket"):
            audio_io.read("s")


def test_names_that_cannot_be() -> None:
    names = {"a\0b.wav": "cannot be the name", "y" * 300 + ".wav": "name too long", "x/" * 9: "no such"}
    for name, reason in names.items():
        with pytest.raises(AudioError, match=f"(?i){reason}"):
            audio_io.read(name)


def test_what_was_found_of_the_channels_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long recording is read three times."""
    wav = speech(1.0)
    (tmp_path / "a.wav").write_bytes(encoded(np.stack([wav, 0 * wav], axis=1), "WAV"))
    heard = []
    hear = ChannelMeter.update
    monkeypatch.setattr(ChannelMeter, "update", lambda self, block: (heard.append(1), hear(self, block)))
    first, second = (audio_io.read(tmp_path / "a.wav").wav for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(heard) == 1


@pytest.mark.parametrize("kept", [0, 1 << 24])
@pytest.mark.parametrize("block", [1 << 11, 1 << 20])
def test_channels_are_chosen_alike_whole_and_in_blocks(
    tmp_path: Path, kept: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_KEPT_SAMPLES", kept)
    monkeypatch.setattr(recording, "BLOCK", block)
    monkeypatch.setattr(recording, "_mixes", OrderedDict())
    wav = speech(2.0)
    late = np.concatenate((np.zeros(20_000, np.float32), wav[20_000:]))
    (tmp_path / "a.flac").write_bytes(encoded(np.stack([wav, late - wav, -wav], axis=1), "FLAC"))
    whole = audio_io.load(tmp_path / "a.flac", 22050).wav
    parts = np.concatenate(list(audio_io.blocks(tmp_path / "a.flac", 22050)))
    np.testing.assert_array_equal(whole, parts)
    monkeypatch.undo()
    np.testing.assert_allclose(whole, audio_io.load(tmp_path / "a.flac", 22050).wav, atol=1e-5)
