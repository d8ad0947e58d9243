from __future__ import annotations

import numpy as np
import pytest

from tests.io.files import RATE, speech
from voiceae.dsp.loudness import apply_gains, envelope_gains, frame_powers

FRAME = RATE // 50


def bounded(wav: np.ndarray, source: np.ndarray) -> np.ndarray:
    return apply_gains(wav, envelope_gains(frame_powers(wav, RATE), frame_powers(source, RATE)), FRAME)


WAV = np.concatenate((speech(4.0), np.float32(1e-3) * speech(0.5)))


@pytest.mark.parametrize("scale", [1.0, 0.01, 30.0])
def test_speech_is_left_alone(scale: float) -> None:
    other = np.float32(scale) * np.roll(WAV, 400) * np.float32(1.5 + np.sin(np.arange(len(WAV)) / 900))
    np.testing.assert_array_equal(bounded(other, WAV), other)


@pytest.mark.parametrize("scale", [1.0, 0.01, 30.0])
def test_a_burst_is_turned_down(scale: float) -> None:
    burst = WAV.copy()
    burst[-320:] += np.float32(0.9)
    quiet = np.float32(scale) * burst
    result = bounded(quiet, WAV) / np.float32(scale)
    assert np.abs(result[-320:]).max() < 0.05 * np.abs(WAV).max() + 0.01
    np.testing.assert_allclose(result[:-2000], WAV[:-2000], atol=1e-6)


def test_blocks_give_what_the_whole_gives() -> None:
    burst = WAV.copy()
    burst[40_000:40_200] *= np.float32(300)
    gains = envelope_gains(frame_powers(burst, RATE), frame_powers(WAV, RATE))
    parts = [
        apply_gains(burst[start : start + 1000], gains, 320, start) for start in range(0, len(burst), 1000)
    ]
    np.testing.assert_allclose(np.concatenate(parts), apply_gains(burst, gains, 320), atol=1e-6)
    np.testing.assert_allclose(np.concatenate(parts), bounded(burst, WAV), atol=1e-6)


@pytest.mark.parametrize("length", [1, 200, 321, 5000])
def test_any_length(length: int) -> None:
    for other in (length, length + 5):
        assert len(bounded(WAV[:length], WAV[:other])) == length
