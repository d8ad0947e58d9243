"""Voices without a pitch that could be relied on, made of the demo clips: whispered, creaking, very low."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.io.audio import Audio, load

CLIPS = Path(__file__).parents[2] / "recipes/demo/clips"
RATE = 22050


def clip(name: str) -> Audio:
    return load(CLIPS / f"{name}.flac", RATE)


def _analysed(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    world = pytest.importorskip("pyworld", reason="voices are taken apart by WORLD")
    wav = clip(name).wav[: round(2.5 * RATE)].astype(np.float64)
    f0, times = world.dio(wav, RATE)
    return f0, world.cheaptrick(wav, f0, times, RATE), world.d4c(wav, f0, times, RATE)


def _spoken(f0: np.ndarray, envelope: np.ndarray, noise: np.ndarray) -> Audio:
    import pyworld

    wav = pyworld.synthesize(np.ascontiguousarray(f0), envelope, np.ascontiguousarray(noise), RATE)
    return Audio((0.3 * wav / np.abs(wav).max()).astype(np.float32), RATE)


def whispered(name: str) -> Audio:
    """All breath, no fundamental."""
    f0, envelope, noise = _analysed(name)
    return _spoken(0 * f0, envelope, np.ones_like(noise))


def spoken_at(name: str, hz: float) -> Audio:
    """With a median fundamental of so many hertz and half the melody."""
    f0, envelope, noise = _analysed(name)
    voiced = f0 > 0
    moved = np.where(voiced, hz * np.sqrt(np.where(voiced, f0, 1) / np.median(f0[voiced])), 0)
    return _spoken(moved, envelope, noise)


def respoken(name: str, hz: float, stretch: float) -> Audio:
    """With another fundamental, and formants that many times as high: another person."""
    f0, envelope, noise = _analysed(name)
    voiced, bins = f0 > 0, np.arange(envelope.shape[1])
    moved = np.where(voiced, hz * np.where(voiced, f0, 1) / np.median(f0[voiced]), 0)
    warped = np.stack([np.interp(bins / stretch, bins, row) for row in envelope])
    return _spoken(moved, warped, noise)


def creaking(name: str, seed: int = 0) -> Audio:
    """Single pulses at 30 to 50 a second, no two distances alike, through the clip's spectral envelope."""
    _, envelope, _ = _analysed(name)
    rng, frame, size = np.random.default_rng(seed), round(0.005 * RATE), 2 * (envelope.shape[1] - 1)
    wav = np.zeros(len(envelope) * frame + size)
    place = 0.0
    while place < len(envelope) * frame:
        spectrum = np.sqrt(envelope[min(int(place / frame), len(envelope) - 1)])
        response = np.fft.irfft(_minimum_phase(spectrum), size)
        wav[int(place) : int(place) + size] += response
        place += RATE / rng.uniform(30, 50)
    wav += 1e-4 * np.abs(wav).max() * rng.standard_normal(len(wav))
    return Audio((0.5 * wav / np.abs(wav).max()).astype(np.float32), RATE)


def _minimum_phase(magnitude: np.ndarray) -> np.ndarray:
    """By the folded cepstrum (Oppenheim and Schafer, chapter 13)."""
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitude, 1e-8)))
    half = len(cepstrum) // 2
    folded = np.r_[cepstrum[:1], 2 * cepstrum[1:half], cepstrum[half : half + 1], np.zeros(half - 1)]
    return np.exp(np.fft.rfft(folded))


def noise(seed: int = 0, seconds: float = 3.0) -> Audio:
    rng = np.random.default_rng(seed)
    return Audio((0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32), RATE)


UNVOICED = {
    "whisper": lambda: whispered("rms_1"),
    "whispering woman": lambda: whispered("slt_1"),
    "creak": lambda: creaking("rms_1"),
    "very low, 45 Hz": lambda: spoken_at("rms_1", 45.0),
    "very low, 55 Hz": lambda: spoken_at("rms_2", 55.0),
    "noise": noise,
}


def median_f0(audio: Audio) -> float:
    """By WORLD's Harvest, hertz, of the voiced frames of the first two seconds."""
    import pyworld

    wav = audio.wav[: 2 * audio.sample_rate].astype(np.float64)
    f0, _ = pyworld.harvest(wav, audio.sample_rate, f0_floor=70, f0_ceil=400)
    return float(np.median(f0[f0 > 0]))
