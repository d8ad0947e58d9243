from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.io.files import speech
from tests.io.waves import RATE, refusal, riff, tone
from voiceae.errors import AudioError
from voiceae.io.audio import Audio, load
from voiceae.io.validation import LowLevelWarning


def test_zero_samples(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(np.zeros(0), RATE, 16))
    assert "holds no samples" in refusal(tmp_path / "a.wav", min_seconds=0.1)


@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_silence(tmp_path: Path, offset: float) -> None:
    (tmp_path / "a.wav").write_bytes(riff(np.full(RATE, offset), RATE, 16))
    assert "is silent" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_not_finite(tmp_path: Path, bad: float) -> None:
    wav = tone()
    wav[123] = bad
    (tmp_path / "a.wav").write_bytes(riff(wav, RATE, 32, is_float=True))
    assert "sample 123 is" in refusal(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="sample 123 is"):
        load(Audio(wav.astype(np.float32), RATE), RATE)


def test_too_short(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(tone(seconds=0.02), RATE, 16))
    message = refusal(tmp_path / "a.wav", min_seconds=0.5, what="a target")
    assert message.endswith("0.02 s of audio; a target needs at least 0.5 s; give a longer clip")
    (tmp_path / "b.wav").write_bytes(riff(tone(48000, 0.1), 48000, 16))
    assert len(load(tmp_path / "b.wav", RATE, min_seconds=0.1).wav) == 2205


def test_so_quiet_that_steps_are_heard(tmp_path: Path) -> None:
    """Speech at -72 dBFS has a peak of some 30 steps."""
    wav = np.float32(10 ** (-72 / 20) / 0.1) * speech(2.0, RATE)
    (tmp_path / "a.wav").write_bytes(riff(wav.astype(np.float64), RATE, 16))
    with pytest.warns(LowLevelWarning, match="of the 32,768 steps of 16 bits"):
        load(tmp_path / "a.wav", RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(Audio(100 * wav, RATE), RATE)
