from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.io.files import encoded, refused, speech, told

WAV = speech(2.0)
STEP = 2 / 32768


def chunk(name: bytes, body: bytes, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(body)) + body


def riff(*chunks: bytes, name: bytes = b"RIFF", order: str = "<") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return name + struct.pack(order + "I", len(body)) + body


def form(order: str = "<", tag: int = 1) -> bytes:
    return chunk(b"fmt ", struct.pack(order + "HHIIHH", tag, 1, 16000, 32000, 2, 16), order)


SAMPLES = (WAV * 32768).astype("<i2").tobytes()


def with_length(content: bytes, length: int) -> bytes:
    place = content.index(b"data") + 4
    return content[:place] + struct.pack("<I", length) + content[place + 4 :]


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
@pytest.mark.parametrize("whole", [0, 36, 0xFFFFFFFF])
def test_a_recorder_that_never_wrote_the_length(tmp_path: Path, length: int, whole: int) -> None:
    content = with_length(encoded(WAV, "WAV"), length)
    wav, warning = told(tmp_path / "a.wav", content[:4] + struct.pack("<I", whole) + content[8:])
    np.testing.assert_allclose(wav, WAV, atol=STEP)
    assert "is taken" in warning or "are taken" in warning


def test_the_same_in_24_bits_and_stereo(tmp_path: Path) -> None:
    content = with_length(encoded(np.stack([WAV, WAV], axis=1), "WAV", "PCM_24"), 0)
    np.testing.assert_allclose(told(tmp_path / "a.wav", content)[0], WAV, atol=STEP)


def test_a_length_from_before_the_recorder_died(tmp_path: Path) -> None:
    wav, warning = told(tmp_path / "a.wav", with_length(encoded(WAV, "WAV"), 10_000))
    assert len(wav) == len(WAV) and "64000 follow" in warning


def test_a_length_that_counts_the_header(tmp_path: Path) -> None:
    content = encoded(WAV, "WAV")
    wav, warning = told(tmp_path / "a.wav", with_length(content, len(content)))
    assert len(wav) == len(WAV) and "44 bytes too many" in warning


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    assert "is truncated: 64000 bytes of samples promised, 20000 are there" in refused(
        tmp_path / "a.wav", encoded(WAV, "WAV")[:20_044]
    )


def test_big_endian(tmp_path: Path) -> None:
    samples = (WAV * 32768).astype(">i2").tobytes()
    content = riff(form(">"), chunk(b"data", samples, ">"), name=b"RIFX", order=">")
    wav, warning = told(tmp_path / "a.wav", content)
    np.testing.assert_allclose(wav, WAV, atol=STEP)
    assert not warning
    place = content.index(b"data") + 4
    unfinished = content[:place] + bytes(4) + content[place + 4 :]
    np.testing.assert_allclose(told(tmp_path / "b.wav", unfinished)[0], WAV, atol=STEP)
    assert "is truncated" in refused(tmp_path / "c.wav", content[:-1000])


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
@pytest.mark.parametrize("length", [len(SAMPLES), 0])
def test_lengths_of_64_bits(tmp_path: Path, name: bytes, length: int) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", len(SAMPLES) + 72, length, len(WAV), 0))
    content = riff(sizes, form(), b"data" + b"\xff" * 4 + SAMPLES, name=name)
    wav, warning = told(tmp_path / "a.wav", content)
    np.testing.assert_allclose(wav, WAV, atol=STEP)
    assert bool(warning) == (not length)
    assert length == 0 or "is truncated" in refused(tmp_path / "b.wav", content[:-1000])


def test_a_promise_of_a_million_million_samples_is_not_believed(tmp_path: Path) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 2 * 10**12, 2 * 10**12, 10**12, 0))
    content = riff(sizes, form(), b"data" + b"\xff" * 4 + SAMPLES, name=b"RF64")
    assert "is truncated: 2000000000000 bytes" in refused(tmp_path / "a.wav", content)


@pytest.mark.parametrize("padding", [b"", b"\0"])
@pytest.mark.parametrize("name", [b"LIST", b"junk", b"bext"])
def test_chunks_before_and_behind_of_odd_length(tmp_path: Path, name: bytes, padding: bytes) -> None:
    other = chunk(name, b"INFOISFT\5\0\0\0hello") + padding
    for chunks in ((other, form()), (form(), other)):
        wav, warning = told(tmp_path / "a.wav", riff(*chunks, chunk(b"data", SAMPLES), other))
        np.testing.assert_allclose(wav, WAV, atol=STEP)
        assert not warning


def test_samples_of_odd_length(tmp_path: Path) -> None:
    wave = encoded(WAV[:1001], "WAV", "PCM_U8")
    for tail in (b"", b"\0", b"\0" + chunk(b"LIST", b"INFO"), chunk(b"LIST", b"INFO")):
        assert len(told(tmp_path / "a.wav", wave.rstrip(b"\0") + tail)[0]) == 1001


def test_extensible(tmp_path: Path) -> None:
    content = encoded(WAV, "WAVEX")
    np.testing.assert_allclose(told(tmp_path / "a.wav", content)[0], WAV, atol=STEP)
    np.testing.assert_allclose(told(tmp_path / "a.wav", with_length(content, 0))[0], WAV, atol=STEP)


def test_two_recordings_one_behind_the_other(tmp_path: Path) -> None:
    wav, _ = told(tmp_path / "a.wav", encoded(WAV, "WAV") + encoded(0.5 * WAV[:8000], "WAV"))
    np.testing.assert_allclose(wav, np.concatenate((WAV, 0.5 * WAV[:8000])), atol=STEP)
    other = encoded(WAV, "WAV", rate=8000)
    assert "changes from 16000 to 8000 Hz" in refused(tmp_path / "b.wav", encoded(WAV, "WAV") + other)


def test_a_tag_behind_is_no_sound(tmp_path: Path) -> None:
    assert len(told(tmp_path / "a.wav", encoded(WAV, "WAV") + b"TAG" + bytes(125))[0]) == len(WAV)
    assert len(told(tmp_path / "a.wav", encoded(WAV, "WAV") + bytes(10_000))[0]) == len(WAV)


def test_an_empty_recording_stays_empty(tmp_path: Path) -> None:
    empty = encoded(WAV[:0], "WAV")
    for content in (empty, empty + chunk(b"LIST", b"INFO" + bytes(4000))):
        assert "holds no samples" in refused(tmp_path / "a.wav", content)


@pytest.mark.parametrize(("tag", "name"), [(0x55, "MP3"), (0xFF, "AAC"), (0x161, "WMA")])
def test_another_codec_inside_is_named(tmp_path: Path, tag: int, name: str) -> None:
    content = riff(form(tag=tag), chunk(b"data", SAMPLES))
    assert refused(tmp_path / "a.wav", content).startswith(f"is WAV that holds {name}")


@pytest.mark.parametrize(("subtype", "tolerance"), [("IMA_ADPCM", 0.1), ("ULAW", 0.02), ("GSM610", 0.3)])
def test_compressed_samples(tmp_path: Path, subtype: str, tolerance: float) -> None:
    content = encoded(WAV, "WAV", subtype)
    for each in (content, with_length(content, 0)):
        wav = told(tmp_path / "a.wav", each)[0]
        assert len(WAV) <= len(wav) < len(WAV) + 1100  # blocks are filled up
        assert np.abs(wav[: len(WAV)] - WAV).max() < tolerance


def test_chunks_that_are_missing(tmp_path: Path) -> None:
    assert "data chunk is missing" in refused(tmp_path / "a.wav", riff(form()))
    assert "fmt chunk is missing" in refused(tmp_path / "a.wav", riff(chunk(b"data", SAMPLES)))
    twice = riff(form(), chunk(b"data", SAMPLES), chunk(b"data", SAMPLES))
    assert "more than one data chunk" in refused(tmp_path / "a.wav", twice)
