from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.io.files import speech
from voiceae.errors import OutputError
from voiceae.io.audio import Audio, load, read, write
from voiceae.io.writer import SUFFIXES, atomic_writer, codec_rate

# What decoding may add or take: a frame of MP3, of Opus (20 ms), and nothing elsewhere.
SLACK = {".mp3": 1152, ".opus": 480}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("blockwise", [False, True])
def test_every_format_takes_every_rate(tmp_path: Path, suffix: str, rate: int, blockwise: bool) -> None:
    path, wav = tmp_path / f"a{suffix}", speech(1.3, rate)
    if blockwise:
        with atomic_writer(path, rate) as append:
            for part in np.array_split(wav, 7):
                append(part)
    else:
        write(path, Audio(wav, rate))
    written = read(path)
    slack = SLACK.get(suffix, 0) / written.sample_rate + 1e-4
    assert written.sample_rate == codec_rate(path, rate)
    assert written.seconds == pytest.approx(1.3, abs=slack)
    again = load(path, 8000).wav[:10_000]
    assert np.corrcoef(again, load(Audio(wav, rate), 8000).wav[: len(again)])[0, 1] > 0.95


def test_opus_at_the_rate_of_the_models(tmp_path: Path) -> None:
    write(tmp_path / "a.opus", Audio(speech(2.0, 22050), 22050))
    info = soundfile.info(tmp_path / "a.opus")
    assert (info.subtype, info.samplerate) == ("OPUS", 24000) and info.duration == pytest.approx(
        2.0, abs=0.02
    )


def test_the_ends_are_kept_when_the_rate_changes(tmp_path: Path) -> None:
    wav = np.zeros(22050, np.float32)
    wav[:400] = wav[-400:] = 0.5 * np.sin(np.arange(400) / 5)
    write(tmp_path / "a.opus", Audio(wav, 22050))
    again = read(tmp_path / "a.opus").wav
    powers = [float((part**2).mean()) for part in (again[:435], again[5000:-5000], again[-435:])]
    assert powers[0] > 0.03 and powers[1] < 1e-4 and powers[2] > 0.03


@pytest.mark.parametrize("name", ["a.m4a", "a", "a.webm", "a.wma"])
def test_what_can_be_written_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*; use \.wav, \.flac, \.ogg"):
        write(tmp_path / name, Audio(speech(1.0), 16000))
