"""The channel against sines of known level, and against what a codec and noise must do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from voiceae.dsp.transmission_channel import EQUALISER_HERTZ, TransmissionChannel, mp3_round_trip

RATE = 16000
OPEN = TransmissionChannel(
    gains_db=(0.0,) * len(EQUALISER_HERTZ),
    low_hertz=1e-3,
    high_hertz=1e9,
    signal_to_noise_db=200.0,
    mp3_compression=0.0,
)


def sine(hertz: float, seconds: float = 2.0) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def level_db(channel: TransmissionChannel, hertz: float) -> float:
    """What becomes of a sine, by the root mean square of the middle of the wave."""
    there = channel.apply(sine(hertz), RATE, np.random.default_rng(0))
    rms = np.sqrt(np.mean(there[4000:-4000].astype(np.float64) ** 2))
    return float(20 * np.log10(rms / (0.1 / np.sqrt(2))))


@pytest.mark.parametrize(("hertz", "gain_db"), [(500.0, 6.0), (2000.0, -9.0), (1000.0, 0.0)])
def test_a_sine_at_an_octave_gets_its_gain(hertz: float, gain_db: float) -> None:
    gains = tuple({500.0: 6.0, 2000.0: -9.0}.get(octave, 0.0) for octave in EQUALISER_HERTZ)
    assert level_db(replace(OPEN, gains_db=gains), hertz) == pytest.approx(gain_db, abs=0.3)


def test_the_band_ends_at_3_db_and_falls_by_24_db_an_octave() -> None:
    channel = replace(OPEN, low_hertz=200.0, high_hertz=3000.0)
    assert level_db(channel, 200.0) == pytest.approx(-3.01, abs=0.3)
    assert level_db(channel, 3000.0) == pytest.approx(-3.01, abs=0.3)
    assert level_db(channel, 800.0) == pytest.approx(0.0, abs=0.3)
    assert level_db(channel, 6000.0) == pytest.approx(-24.1, abs=1.0)


def test_noise_lies_below_the_signal_as_said() -> None:
    clean = sine(1000.0)
    noisy = replace(OPEN, signal_to_noise_db=20.0).apply(clean, RATE, np.random.default_rng(0))
    noise = (noisy - clean)[4000:-4000]
    # MP3 at its best spends few bits on noise, so the level is only near.
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(20.0, abs=1.5)


def test_nothing_moves_in_time_and_nothing_clips() -> None:
    rng = np.random.default_rng(1)
    wav = np.convolve(rng.standard_normal(RATE), np.ones(16) / 16, "same").astype(np.float32)
    for samples in (RATE, RATE - 7):
        there = OPEN.apply(wav[:samples], RATE, rng)
        assert there.dtype == np.float32 and there.shape == (samples,)
        lags = np.correlate(there[2000:10000], wav[2200:9800], "valid")
        assert lags.argmax() == 200
    loud = replace(OPEN, gains_db=(20.0,) * len(EQUALISER_HERTZ)).apply(wav, RATE, rng)
    assert np.abs(loud).max() < 1.2  # a codec swings a little over what it was given


def test_the_codec_loses_more_the_smaller_it_is() -> None:
    rng = np.random.default_rng(2)
    wav = (0.1 * rng.standard_normal(2 * RATE)).astype(np.float32)
    errors = [float(np.mean((mp3_round_trip(wav, RATE, level) - wav) ** 2)) for level in (0.0, 0.5, 0.9)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_a_channel_is_drawn_by_the_seed() -> None:
    one, same, other = (TransmissionChannel.draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one == same != other
    drawn = [TransmissionChannel.draw(np.random.default_rng(seed)) for seed in range(50)]
    assert np.std([each.gains_db for each in drawn]) == pytest.approx(4.0, abs=0.5)  # of 350 draws
    assert all(60 <= each.low_hertz <= 200 and 5000 <= each.high_hertz <= 7500 for each in drawn)
