from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.io.files import speech
from voiceae.dsp.loudness import MAX_GAIN_DB, active_power, frame_powers, normalise

RATE = 16000


def sine(seconds: float, amplitude: float) -> NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * 200 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("amplitude", [0.005, 0.05, 0.9])
def test_a_sine_comes_to_the_target(amplitude: float) -> None:
    levelled = normalise(sine(2, amplitude), RATE)
    assert np.sqrt(2) * 10 ** (-26 / 20) == pytest.approx(levelled.wav.max(), rel=1e-3)
    assert levelled.gain_db == pytest.approx(-26 - 20 * np.log10(amplitude / np.sqrt(2)), abs=0.01)


def test_pauses_do_not_count() -> None:
    speech = sine(1, 0.3)
    padded = np.concatenate([np.zeros(2 * RATE, np.float32), speech, np.zeros(RATE, np.float32)])
    assert normalise(padded, RATE).gain_db == pytest.approx(normalise(speech, RATE).gain_db, abs=0.1)


def test_the_offset_goes() -> None:
    with_offset = sine(1, 0.2) + np.float32(0.3)
    levelled = normalise(with_offset, RATE)
    assert abs(levelled.wav.mean()) < 1e-6
    assert levelled.gain_db == pytest.approx(normalise(sine(1, 0.2), RATE).gain_db, abs=1e-3)


def test_the_gain_can_be_taken_back() -> None:
    wav = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.01
    levelled = normalise(wav, RATE)
    np.testing.assert_allclose(levelled.wav * 10 ** (-levelled.gain_db / 20), wav - wav.mean(), atol=1e-7)


def test_the_input_is_left_alone() -> None:
    wav = sine(1, 0.5)
    before = wav.copy()
    normalise(wav, RATE)
    np.testing.assert_array_equal(wav, before)


def test_a_peak_never_passes_full_scale() -> None:
    wav = np.zeros(48000, np.float32)
    wav[5000] = 0.4  # alone in its frame of 960 samples it is 30 dB above the frame's RMS
    levelled = normalise(wav, 48000)
    assert levelled.wav.max() == pytest.approx(1.0, abs=1e-3)
    assert levelled.gain_db == pytest.approx(20 * np.log10(1 / 0.4), abs=0.01)


def test_near_silence_is_not_blown_up() -> None:
    wav = sine(1, 1e-6)
    levelled = normalise(wav, RATE)
    assert levelled.gain_db == MAX_GAIN_DB
    assert np.isfinite(normalise(np.zeros(RATE, np.float32), RATE).wav).all()


@pytest.mark.parametrize("n_samples", [1, 7, 319, 321])
def test_any_length(n_samples: int) -> None:
    levelled = normalise(np.linspace(-0.1, 0.1, n_samples, dtype=np.float32), RATE)
    assert len(levelled.wav) == n_samples and np.isfinite(levelled.wav).all()


def test_frame_powers_and_their_active_mean() -> None:
    wav = np.concatenate([np.full(320, 0.5), np.full(320, 0.01), np.full(100, 0.9)]).astype(np.float32)
    powers = frame_powers(wav, RATE)
    np.testing.assert_allclose(powers, [0.25, 0.0001], rtol=1e-5)
    assert active_power(powers) == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("sound", ["click", "knock", "burst at the end"])
@pytest.mark.parametrize("speech_db", [-20, -40, -55])
def test_one_artefact_does_not_set_the_level(sound: str, speech_db: float) -> None:
    wav = np.float32(10 ** ((speech_db + 20) / 20)) * speech(4.0)
    samples, place = {
        "click": (4, 30_000),
        "knock": (2400, 30_000),
        "burst at the end": (1600, 4 * RATE - 1600),
    }[sound]
    loud = wav.copy()
    loud[place : place + samples] += np.float32(0.9) * (-1) ** np.arange(samples, dtype=np.float32)
    gain_db = (active_power(frame_powers(loud, RATE)) / active_power(frame_powers(wav, RATE))) ** 0.5
    assert abs(20 * np.log10(gain_db)) < 1.0


def test_speech_is_no_artefact() -> None:
    word = np.concatenate((np.zeros(RATE, np.float32), speech(0.2), np.zeros(2 * RATE, np.float32)))
    noise = np.random.default_rng(0).standard_normal(len(word)).astype(np.float32)
    for wav in (speech(4.0), word, word + np.float32(1e-3) * noise, noise, speech(0.15)):
        powers = frame_powers(wav, RATE)
        active = powers[powers >= powers.mean() / 10]
        assert active_power(powers) == pytest.approx(active.mean(), rel=1e-5)
