from __future__ import annotations

import warnings

import numpy as np
import pytest

from voiceae.dsp.loudness import MAX_CORRECTION_DB, LevelCorrection, LevelMeter, normalise, restore_level
from voiceae.errors import ClippingWarning

RATE = 22050


def tone(level: float, hz: float = 200.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize("level", [0.004, 0.1, 0.9])
def test_a_tone_takes_the_level_of_a_tone(level: float) -> None:
    out = restore_level(tone(0.2, 330.0), normalise(tone(level), RATE), RATE)
    assert np.abs(out).max() == pytest.approx(level, rel=0.01)


def test_nothing_is_clipped() -> None:
    peaky = tone(0.01)
    peaky[::2000] = 0.5
    with pytest.warns(ClippingWarning, match="turned down by"):
        out = restore_level(peaky, normalise(tone(0.9), RATE), RATE)
    assert np.abs(out).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(out / out.max(), peaky / peaky.max(), atol=1e-6)


def test_next_to_nothing_is_not_made_loud() -> None:
    out = restore_level(tone(1e-6), normalise(tone(0.05), RATE), RATE)
    assert np.abs(out).max() <= 1.01e-6 * 10 ** ((MAX_CORRECTION_DB + 0.1) / 20)
    assert not restore_level(np.zeros(RATE, np.float32), normalise(tone(0.05), RATE), RATE).any()


@pytest.mark.parametrize("level", [0.01, 0.9])
def test_blocks_are_given_the_gain_of_the_whole(level: float) -> None:
    source, converted = tone(level), tone(0.2, 330.0) * np.linspace(0.2, 1.5, RATE, dtype=np.float32)
    meters = [LevelMeter(RATE), LevelMeter(RATE)]
    for meter, wav in zip(meters, (source, converted), strict=True):
        for part in np.array_split(wav, 5):
            meter.update(part)
    with warnings.catch_warnings(action="ignore"):
        whole = restore_level(converted, normalise(source, RATE), RATE)
        level = LevelCorrection.from_meters(*meters)
    parts = [level.apply(converted[start : start + 3000], start) for start in range(0, len(converted), 3000)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-3, atol=1e-6)


def test_a_burst_is_bounded_in_blocks_as_it_is_in_the_whole() -> None:
    source, converted = tone(0.1), tone(0.2, 330.0)
    source[-8000:] *= 1e-3
    converted[-8000:] *= 1e-3
    converted[-2000:-1500] = 0.9
    meters = [LevelMeter(RATE), LevelMeter(RATE)]
    for meter, wav in zip(meters, (source, converted), strict=True):
        for part in np.array_split(wav, 7):
            meter.update(part)
    whole = restore_level(converted, normalise(source, RATE), RATE)
    level = LevelCorrection.from_meters(*meters)
    parts = [level.apply(converted[start : start + 3000], start) for start in range(0, len(converted), 3000)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-3)
    assert np.abs(whole[-2000:-1500]).max() < 0.05
    assert np.abs(whole[:10000]).max() == pytest.approx(0.1, rel=0.05)
