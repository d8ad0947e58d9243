from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.io.files import encoded, flac_frames, refused, speech, told

WAV = speech(6.0)
FLAC = encoded(WAV, "FLAC")
FRAMES = flac_frames(FLAC)
STEP = 2 / 32768


def promising(content: bytes, samples: int) -> bytes:
    """The same with another number of samples in its STREAMINFO."""
    return (
        content[:21]
        + bytes([content[21] & 0xF0 | samples >> 32])
        + (samples & 0xFFFFFFFF).to_bytes(4, "big")
        + content[26:]
    )


def test_the_test_knows_the_frames() -> None:
    assert len(FRAMES) == 1 + -(-len(WAV) // 4096) and b"".join(FRAMES) == FLAC


@pytest.mark.parametrize("promise", [1, 40_000, 90_000])
def test_a_promise_of_less_than_follows(tmp_path: Path, promise: int) -> None:
    wav, warning = told(tmp_path / "a.flac", promising(FLAC, promise))
    np.testing.assert_allclose(wav, WAV, atol=STEP)
    assert f"promises {promise} samples, yet {len(WAV)} follow" in warning


def test_no_promise_at_all(tmp_path: Path) -> None:
    wav, warning = told(tmp_path / "a.flac", promising(FLAC, 0))
    np.testing.assert_allclose(wav, WAV, atol=STEP)
    assert not warning


@pytest.mark.parametrize("promise", [len(WAV), 0])
@pytest.mark.parametrize("frame", [0, 1, 9, 22])
def test_a_frame_that_is_missing_is_not_silence(tmp_path: Path, frame: int, promise: int) -> None:
    content = promising(b"".join(FRAMES[: frame + 1] + FRAMES[frame + 2 :]), promise)
    assert "is damaged: " in (message := refused(tmp_path / "a.flac", content))
    assert f"frame {frame} is missing" in message or (not frame and "first frame is missing" in message)


def test_frames_that_come_twice_or_in_another_order(tmp_path: Path) -> None:
    twice = b"".join(FRAMES[:9] + FRAMES[5:])
    other = b"".join(FRAMES[:5] + FRAMES[7:9] + FRAMES[5:7] + FRAMES[9:])
    for content in (twice, other):
        assert "is damaged: " in refused(tmp_path / "a.flac", content)


@pytest.mark.parametrize("kept", [2, 12, 23])
def test_cut_between_two_frames(tmp_path: Path, kept: int) -> None:
    message = refused(tmp_path / "a.flac", b"".join(FRAMES[: kept + 1]))
    assert f"is truncated: {len(WAV)} samples promised, {4096 * kept} are there" in message


@pytest.mark.parametrize("promise", [len(WAV), 0])
def test_cut_within_a_frame(tmp_path: Path, promise: int) -> None:
    for size in (len(FLAC) - 5, len(FLAC) - 3000, 40_000):
        assert "truncated" in refused(tmp_path / "a.flac", promising(FLAC[:size], promise))


def test_changed_bytes(tmp_path: Path) -> None:
    middle = len(FLAC) // 2
    for broken in (
        FLAC[:middle] + bytes([FLAC[middle] ^ 16]) + FLAC[middle + 1 :],
        FLAC[:middle] + bytes(9000) + FLAC[middle + 9000 :],
        FLAC[:middle] + FLAC[middle + 7000 :],
    ):
        assert "damaged" in refused(tmp_path / "a.flac", broken)


def test_two_recordings_one_behind_the_other(tmp_path: Path) -> None:
    wav, _ = told(tmp_path / "a.flac", FLAC + encoded(0.5 * WAV[:20_000], "FLAC"))
    np.testing.assert_allclose(wav, np.concatenate((WAV, 0.5 * WAV[:20_000])), atol=STEP)


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"ID3\x03\0\0\0\0\1\0" + bytes(128)])
def test_tags_of_other_formats(tmp_path: Path, tag: bytes) -> None:
    content = FLAC + tag if tag.startswith(b"TAG") else tag + FLAC
    np.testing.assert_allclose(told(tmp_path / "a.flac", content)[0], WAV, atol=STEP)


@pytest.mark.parametrize(
    ("rate", "subtype", "channels"), [(96000, "PCM_24", 2), (8000, "PCM_S8", 1), (44100, "PCM_16", 6)]
)
def test_other_kinds(tmp_path: Path, rate: int, subtype: str, channels: int) -> None:
    wav = np.repeat(WAV[:, None], channels, axis=1)
    heard, warning = told(tmp_path / "a.flac", encoded(wav, "FLAC", subtype, rate))
    np.testing.assert_allclose(heard, WAV, atol=0.01)
    assert not warning


def test_long_frame_numbers(tmp_path: Path) -> None:
    """Numbers of two and of three bytes, and noise that is not to be taken for headers."""
    wav = np.random.default_rng(0).uniform(-0.5, 0.5, 2100 * 1152).astype(np.float32)
    content = encoded(wav, "FLAC", compression_level=0.0)
    assert len(told(tmp_path / "a.flac", content)[0]) == len(wav)
    middle = content.find(content[len(FRAMES[0]) : len(FRAMES[0]) + 4], len(content) // 2)
    after = content.find(content[len(FRAMES[0]) : len(FRAMES[0]) + 4], middle + 1000)
    assert "is missing" in refused(tmp_path / "a.flac", content[:middle] + content[after:])


def test_nothing_but_a_head(tmp_path: Path) -> None:
    assert "is damaged: its STREAMINFO is missing" in refused(tmp_path / "a.flac", b"fLaC")
    assert "before the first frame" in refused(tmp_path / "a.flac", FLAC[:60])
    assert "first frame is missing" in refused(tmp_path / "a.flac", FRAMES[0])
