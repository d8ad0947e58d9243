from __future__ import annotations

import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.io.waves import RATE, refusal, riff, tone
from voiceae.errors import AudioError, ClippingWarning, OutputError
from voiceae.io import recording
from voiceae.io.audio import Audio, UpperBandWarning, load, read, write


@pytest.mark.parametrize(
    ("bits", "is_float"), [(16, False), (24, False), (32, False), (32, True), (64, True)]
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav_of_every_width(tmp_path: Path, bits: int, is_float: bool, channels: int) -> None:
    parts = [tone(hertz=200.0 * (1 + channel)) for channel in range(channels)]
    (tmp_path / "a.wav").write_bytes(riff(np.stack(parts, axis=1), RATE, bits, is_float))
    audio = read(tmp_path / "a.wav")
    assert audio.sample_rate == RATE and audio.wav.dtype == np.float32 and audio.seconds == 1.0
    wanted = np.mean(parts, axis=0)
    if channels > 2:  # unrelated sounds would be quieter by 8 dB: the sum is as loud as each
        wanted *= np.linalg.norm(audio.wav) / np.linalg.norm(wanted)
        assert np.std(audio.wav) == pytest.approx(np.std(parts[0]), rel=0.02)
    np.testing.assert_allclose(audio.wav, wanted, atol=2e-4 if bits == 16 else 1e-5)


@pytest.mark.parametrize(
    ("name", "container", "subtype", "rate", "tolerance"),
    [
        ("a.flac", "FLAC", "PCM_16", 22050, 1e-4),
        ("a.flac", "FLAC", "PCM_24", 96000, 1e-6),
        ("a.ogg", "OGG", "VORBIS", 44100, 0.02),
        ("a.opus", "OGG", "OPUS", 48000, 0.03),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 44100, 0.03),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 16000, 0.03),
        ("a.wav", "RF64", "PCM_16", 22050, 1e-4),
        ("a.wav", "WAVEX", "PCM_24", 22050, 1e-6),
    ],
)
def test_every_container(
    tmp_path: Path, name: str, container: str, subtype: str, rate: int, tolerance: float
) -> None:
    wav = tone(rate)
    soundfile.write(tmp_path / name, np.stack([wav, wav], axis=1), rate, format=container, subtype=subtype)
    audio = read(tmp_path / name)
    assert audio.sample_rate == rate and audio.seconds == pytest.approx(1.0, abs=0.06)
    middle = slice(rate // 4, rate // 2)
    assert np.abs(audio.wav[middle] - wav[middle]).max() < tolerance


def test_names_with_spaces_and_other_letters(tmp_path: Path) -> None:
    path = tmp_path / "Ünï — 声 音.wav"
    path.write_bytes(riff(tone(), RATE, 16))
    assert len(read(str(path)).wav) == RATE


@pytest.mark.parametrize("rate", [11025, 16000, 44100, 96000])
def test_resampling_equals_librosa(tmp_path: Path, rate: int) -> None:
    wav = tone(rate, hertz=1000) + 0.1 * tone(rate, hertz=3000)
    (tmp_path / "a.wav").write_bytes(riff(wav, rate, 32, is_float=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpperBandWarning)
        audio = load(tmp_path / "a.wav", RATE)
    wanted = librosa.resample(wav, orig_sr=rate, target_sr=RATE, res_type="soxr_vhq")
    assert audio.sample_rate == RATE and len(audio.wav) == len(wanted) == RATE
    np.testing.assert_allclose(audio.wav[200:-200], wanted[200:-200], atol=2e-3)


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (50000, 2))
    (tmp_path / "a.wav").write_bytes(riff(stereo, 16000, 16))
    own, at_rate = read(tmp_path / "a.wav"), load(tmp_path / "a.wav", RATE)
    monkeypatch.setattr(recording, "BLOCK", 4096)
    monkeypatch.setattr(recording, "_mixes", OrderedDict())
    np.testing.assert_array_equal(read(tmp_path / "a.wav").wav, own.wav)
    np.testing.assert_allclose(load(tmp_path / "a.wav", RATE).wav, at_rate.wav, atol=1e-6)


def test_a_wave_in_memory_equals_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(tone(48000), 48000, 16))
    np.testing.assert_allclose(
        load(read(tmp_path / "a.wav"), RATE).wav, load(tmp_path / "a.wav", RATE).wav, atol=1e-6
    )


def test_8_khz_works_with_one_warning(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(tone(8000), 8000, 16))
    with pytest.warns(UpperBandWarning, match="8000 Hz, so nothing above 4000 Hz") as caught:
        audio = load(tmp_path / "a.wav", RATE)
    assert len(caught) == 1 and len(audio.wav) == RATE


@pytest.mark.parametrize("rate", [16000, 22050, 96000])
def test_full_speech_band_gives_no_warning(tmp_path: Path, rate: int) -> None:
    (tmp_path / "a.wav").write_bytes(riff(tone(rate), rate, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "a.wav", RATE)


def test_missing_and_folder(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "a.wav", what="a source")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello, this is text\n" * 100, b"\xff\xfb\x90"])
@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.txt"])
def test_not_audio(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "give a whole file of wav, flac" in refusal(tmp_path / name)


@pytest.mark.parametrize("wav", [np.zeros((2, 100), np.float32), np.zeros(100, np.int16)])
def test_a_wave_in_memory_of_another_kind(wav: NDArray[np.float32]) -> None:
    with pytest.raises(AudioError, match="give one channel of floats"):
        load(Audio(wav, RATE), RATE)


@pytest.mark.parametrize(
    ("suffix", "rate", "tolerance"),
    [
        (".wav", 22050, 2e-5),
        (".flac", 22050, 2e-5),
        (".ogg", 22050, 0.05),
        (".opus", 24000, 0.05),
        (".mp3", 22050, 0.05),
    ],
)
def test_written_is_read_again(tmp_path: Path, suffix: str, rate: int, tolerance: float) -> None:
    wav = tone(rate, 2.0).astype(np.float32)
    write(tmp_path / f"a{suffix}", Audio(wav, rate))
    again = read(tmp_path / f"a{suffix}")
    assert again.sample_rate == rate
    assert np.abs(again.wav[rate // 2 : rate] - wav[rate // 2 : rate]).max() < tolerance
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_never_overwrites_unasked(tmp_path: Path) -> None:
    audio = Audio(tone().astype(np.float32), RATE)
    (tmp_path / "a.wav").write_bytes(b"precious")
    with pytest.raises(OutputError, match="--force"):
        write(tmp_path / "a.wav", audio)
    assert (tmp_path / "a.wav").read_bytes() == b"precious"
    write(tmp_path / "a.wav", audio, force=True)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    audio = Audio(tone().astype(np.float32), RATE)
    with pytest.raises(OutputError, match=r"cannot write \.aac; use \.wav"):
        write(tmp_path / "a.aac", audio)
    with pytest.raises(OutputError, match=r"\.flac at 700000 Hz.*write a \.wav"):
        write(tmp_path / "a.flac", Audio(audio.wav, 700_000))
    with pytest.raises(OutputError, match="NaN"):
        write(tmp_path / "a.wav", Audio(np.full(9, np.nan, np.float32), RATE))
    assert not list(tmp_path.iterdir())


def test_turned_down_rather_than_clipped(tmp_path: Path) -> None:
    wav = (tone() * 5).astype(np.float32)
    with pytest.warns(ClippingWarning, match=r"6\.0 dB"):
        write(tmp_path / "a.wav", Audio(wav, RATE))
    np.testing.assert_allclose(read(tmp_path / "a.wav").wav, wav / np.abs(wav).max(), atol=1e-4)


FULL_DISK = """
import numpy as np, resource, signal, sys
from voiceae.io.audio import Audio, write
from voiceae.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write(sys.argv[1], Audio(np.full(20000, .1, np.float32), 22050), force=True)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"precious")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.wav")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert (tmp_path / "a.wav").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 1
