from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.dsp.activity import speech_bounds, trim
from voiceae.dsp.loudness import active_power, frame_powers
from voiceae.io.audio import load

RATE = 22050


def burst(lead: float, speech: float, tail: float, noise: float = 1e-4, gain: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    envelope = np.concatenate(
        [np.zeros(round(lead * RATE)), np.ones(round(speech * RATE)), np.zeros(round(tail * RATE))]
    )
    wav = 0.1 * envelope * rng.standard_normal(len(envelope)) + noise * rng.standard_normal(len(envelope))
    return (gain * wav).astype(np.float32)


@pytest.mark.parametrize("gain", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("noise", [1e-5, 1e-3, 3e-3])
def test_finds_speech_whatever_the_level_and_the_noise(gain: float, noise: float) -> None:
    first, last = speech_bounds(burst(0.8, 1.5, 0.6, noise, gain), RATE)
    assert first / RATE == pytest.approx(0.8, abs=0.03)
    assert last / RATE == pytest.approx(2.3, abs=0.03)


def test_keeps_a_margin() -> None:
    wav = burst(0.8, 1.5, 0.6)
    assert len(trim(wav, RATE)) / RATE == pytest.approx(1.5 + 2 * 0.1, abs=0.05)


def test_a_click_is_no_speech() -> None:
    wav = burst(1.0, 1.5, 0.1)
    wav[2000:2010] = 0.9
    assert speech_bounds(wav, RATE)[0] / RATE == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("n_samples", [1, 100, 441, 442, 1000])
def test_nothing_is_cut_where_there_is_no_silence(n_samples: int) -> None:
    wav = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    assert len(trim(wav, RATE)) == n_samples


def test_real_speech_keeps_its_energy(minivctk: Path) -> None:
    for path in sorted(minivctk.rglob("*_mic1.flac"))[::50]:
        wav = load(path, RATE).wav
        cut = trim(wav, RATE)
        lost = (wav.astype(np.float64) ** 2).sum() - (cut.astype(np.float64) ** 2).sum()
        rest = active_power(frame_powers(wav, RATE)) * max(1, len(wav) - len(cut))
        assert lost <= 0.01 * rest, f"{path.name}: what was cut is louder than 20 dB below speech"
