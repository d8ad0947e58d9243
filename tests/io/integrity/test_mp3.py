from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.io.files import encoded, mp3_frames, refused, speech, told

WAV = speech(6.0)
CONSTANT = encoded(WAV, "MP3", "MPEG_LAYER_III")
VARIABLE = encoded(WAV, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.5)
KINDS = pytest.mark.parametrize("content", [CONSTANT, VARIABLE], ids=["constant", "variable"])
ID3 = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)


def ape(flag: int, size: int) -> bytes:
    return b"APETAGEX" + struct.pack("<4I", 2000, size, 1, 1 << 31 | flag << 29) + bytes(8)


APE = ape(1, 64) + b"x" * 32 + ape(0, 64)
FRAME = 576


def without_count(content: bytes) -> list[bytes]:
    return mp3_frames(content)[1:]


@KINDS
def test_the_test_knows_the_frames(content: bytes) -> None:
    frames = mp3_frames(content)
    assert (b"Xing" in frames[0] or b"Info" in frames[0]) and b"".join(frames) == content
    assert len(without_count(content)) == pytest.approx(len(WAV) / FRAME, abs=4)


@KINDS
def test_without_a_count_all_is_heard(tmp_path: Path, content: bytes) -> None:
    """mpg123 guesses the length from the first frame, and libsndfile stops there."""
    wav, warning = told(tmp_path / "a.mp3", b"".join(without_count(content)))
    assert len(wav) >= len(WAV) and not warning


@KINDS
@pytest.mark.parametrize("between", [b"", ID3, APE, b"TAG" + bytes(125)], ids=["", "id3", "ape", "id3v1"])
def test_two_recordings_one_behind_the_other(tmp_path: Path, content: bytes, between: bytes) -> None:
    alone = told(tmp_path / "a.mp3", content)[0]
    wav, _ = told(tmp_path / "a.mp3", content + between + content)
    np.testing.assert_allclose(wav, np.concatenate((alone, alone)), atol=1e-3)
    bare = b"".join(without_count(content))
    assert len(told(tmp_path / "b.mp3", bare + between + bare)[0]) >= 2 * len(WAV)


@KINDS
@pytest.mark.parametrize("before", [b"", ID3, ID3 + ID3], ids=["", "id3", "twice"])
@pytest.mark.parametrize(
    "behind", [b"", b"TAG" + bytes(125), APE, APE + b"TAG" + bytes(125), bytes(9000), b"what" * 50]
)
def test_tags_and_padding_are_no_sound(tmp_path: Path, content: bytes, before: bytes, behind: bytes) -> None:
    wav, warning = told(tmp_path / "a.mp3", before + content + behind)
    assert len(wav) == len(WAV) and not warning


@KINDS
def test_frames_that_are_missing(tmp_path: Path, content: bytes) -> None:
    frames = mp3_frames(content)
    message = refused(tmp_path / "a.mp3", b"".join(frames[:40] + frames[60:]))
    assert f"{len(frames) - 1} frames promised, {len(frames) - 21} are there" in message
    assert "frames promised" in refused(tmp_path / "a.mp3", b"".join(frames[:-1]))


@KINDS
def test_a_last_frame_that_is_cut(tmp_path: Path, content: bytes) -> None:
    for whole in (content, b"".join(without_count(content))):
        for less in (1, 40):
            assert "is truncated" in refused(tmp_path / "a.mp3", whole[:-less])


@KINDS
def test_more_frames_than_counted(tmp_path: Path, content: bytes) -> None:
    frames = mp3_frames(content)
    wav, warning = told(tmp_path / "a.mp3", b"".join(frames + frames[1:]))
    assert len(wav) >= 2 * len(WAV) and "follow; all of them are taken" in warning


@KINDS
@pytest.mark.parametrize("counted", [True, False])
def test_other_bytes_in_the_middle(tmp_path: Path, content: bytes, counted: bool) -> None:
    frames = mp3_frames(content) if counted else without_count(content)
    before, after = b"".join(frames[:30]), b"".join(frames[30:])
    for junk in (bytes(range(1, 200)) * 9, bytes(700)):
        message = refused(tmp_path / "a.mp3", before + junk + after)
        assert f"is damaged: {len(junk)} bytes at byte {len(before)} belong to no frame" in message
    cut = before[:-50] + after
    assert "is damaged" in refused(tmp_path / "a.mp3", cut)


@KINDS
def test_a_beginning_in_the_middle_of_a_frame(tmp_path: Path, content: bytes) -> None:
    frames = without_count(content)
    wav, warning = told(tmp_path / "a.mp3", b"".join(frames)[33:])
    assert len(wav) >= len(WAV) - 3 * FRAME
    assert f"begins with {len(frames[0]) - 33} bytes that belong to no frame" in warning


def test_the_decoder_keeps_off_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    frames = [
        frame[:8] + noise.bytes(len(frame) - 8) if 40 <= place < 60 else frame
        for place, frame in enumerate(mp3_frames(CONSTANT))
    ]
    _, warning = told(tmp_path / "a.mp3", b"".join(frames))
    assert capfd.readouterr().err == ""
    assert "its decoder stumbled" in warning


def test_another_rate_in_the_middle(tmp_path: Path) -> None:
    other = encoded(WAV, "MP3", "MPEG_LAYER_III", rate=44100)
    assert "changes its sample rate" in refused(tmp_path / "a.mp3", CONSTANT + other)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_kinds(tmp_path: Path, rate: int, channels: int) -> None:
    wav = np.repeat(WAV[:, None], channels, axis=1)
    content = encoded(wav, "MP3", "MPEG_LAYER_III", rate)
    heard, warning = told(tmp_path / "a.mp3", content)
    assert len(heard) == len(WAV) and not warning


def test_free_format(tmp_path: Path) -> None:
    """Frames whose header names no bit rate: the same frames of a constant length, renamed."""
    steady = encoded(WAV, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.5)
    frames = [frame for frame in mp3_frames(steady)[1:] if len(frame) == len(mp3_frames(steady)[5])]
    assert len(frames) > 100
    free = [bytes([*frame[:2], frame[2] & 0x0F, *frame[3:]]) for frame in frames]
    wav, _ = told(tmp_path / "a.mp3", b"".join(free))
    assert len(wav) == pytest.approx(len(frames) * FRAME, abs=2 * FRAME)
    assert "is truncated" in refused(tmp_path / "b.mp3", b"".join(free)[:-20])
