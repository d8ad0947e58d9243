from __future__ import annotations

import numpy as np
import pytest

from voiceae.dsp.loudness import LevelMeter, active_power, frame_powers, normalise

RATE = 22050


@pytest.mark.parametrize("samples", [1, 300, 441, 50_000])
@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_blocks_say_what_the_whole_says(samples: int, offset: float) -> None:
    rng = np.random.default_rng(samples)
    wav = (0.05 * rng.standard_normal(samples) * (1 + np.arange(samples) // 4000 % 3) + offset).astype(
        np.float32
    )
    meter = LevelMeter(RATE)
    for part in np.split(wav, np.sort(rng.integers(0, samples + 1, 9))):
        meter.update(part)
    whole = normalise(wav, RATE)
    assert meter.samples == samples
    assert meter.offset == pytest.approx(wav.mean(dtype=np.float64), abs=1e-7)
    assert meter.peak == np.abs(wav).max()
    assert meter.power == pytest.approx(active_power(frame_powers(wav, RATE)), rel=1e-5)
    if samples > 441:  # the gain of less than a frame depends on nothing but rounding
        assert meter.gain_db == pytest.approx(whole.gain_db, abs=1e-3)
        expected = active_power(frame_powers(wav - wav.mean(), RATE))
        assert meter.centred_power == pytest.approx(expected, rel=1e-3)
