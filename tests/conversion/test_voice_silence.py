"""Silence inside speech stays silence, and speech is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import voiceae
from voiceae import Audio, Voice
from voiceae.conversion.chunked import ChunkOptions
from voiceae.dsp.loudness import LevelMeter, SilenceEnvelope
from voiceae.io.audio import load

CLIPS = Path(__file__).parents[2] / "recipes/demo/clips"
RATE = 22050


@pytest.fixture(scope="module")
def voice() -> Voice:
    """The bundled model: a network that has learned speech fills silence with hiss."""
    return voiceae.load("base", device="cpu")


def dbfs(wav: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(wav, dtype=np.float64)) + 1e-30))


def broken_off(floor: float, offset: float = 0.0) -> tuple[Audio, slice]:
    """A sentence, two seconds of nothing louder than `floor`, and the sentence again: where the middle is."""
    rng, speech = np.random.default_rng(0), load(CLIPS / "slt_1.flac", RATE).wav[: 2 * RATE]
    gap = floor * rng.standard_normal(2 * RATE).astype(np.float32)
    wav = np.concatenate((speech, gap, speech)) + np.float32(offset)
    return Audio(0.5 * wav, RATE), slice(len(speech) + RATE // 5, len(speech) + 2 * RATE - RATE // 5)


@pytest.mark.parametrize("offset", [0.0, 0.01])
@pytest.mark.parametrize("chunks", [None, ChunkOptions(chunk_seconds=1.5)])
def test_digital_silence_stays_so(voice: Voice, chunks: ChunkOptions | None, offset: float) -> None:
    source, middle = broken_off(0.0, offset)
    wav = voice.convert(source, CLIPS / "rms_1.flac", chunks=chunks).wav
    assert dbfs(wav[middle]) < -120, f"{dbfs(wav[middle]):.0f} dBFS of hiss"
    assert dbfs(wav[: 2 * RATE]) > -35


def test_digital_silence_stays_so_without_torch() -> None:
    pytest.importorskip("onnxruntime")
    from voiceae.conversion.backends.select import OnnxVoiceLoader

    source, middle = broken_off(0.0)
    wav = OnnxVoiceLoader(model="base", vocoder="default").load().convert(source, CLIPS / "rms_1.flac").wav
    assert dbfs(wav[middle]) < -120, f"{dbfs(wav[middle]):.0f} dBFS of hiss"


def test_a_faint_floor_is_not_raised(voice: Voice) -> None:
    source, middle = broken_off(2e-5)
    wav = voice.convert(source, CLIPS / "rms_1.flac").wav
    assert dbfs(wav[middle]) < dbfs(source.wav[middle]) + 10


def test_room_noise_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    source = np.concatenate([level * rng.standard_normal(RATE) for level in (0.1, 1e-3, 0.1)]).astype(
        np.float32
    )
    made = rng.standard_normal(len(source)).astype(np.float32)
    # 40 dB below speech is a pause, not silence.
    assert SilenceEnvelope.from_wave(source, RATE).apply(made) is made


def test_blocks_are_treated_as_the_whole() -> None:
    source, middle = broken_off(0.0)
    made = np.random.default_rng(2).standard_normal(len(source.wav)).astype(np.float32)
    whole = SilenceEnvelope.from_wave(source.wav, RATE).apply(made)
    met = LevelMeter(RATE)
    for start in range(0, len(source.wav), 7001):
        met.update(source.wav[start : start + 7001])
    silence = SilenceEnvelope.from_meter(met)
    parts = [silence.apply(made[start : start + 999], start) for start in range(0, len(made), 999)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert not whole[middle].any()
    factors = whole / made
    assert factors.min() >= 0 and factors.max() <= 1 + 1e-6
    assert np.abs(np.diff(factors)).max() < 0.01  # no click at its edges


@pytest.mark.parametrize("length", [0, 1, 5, 440, 441, 900])
def test_any_length(length: int) -> None:
    wav = np.ones(length, np.float32)
    met = LevelMeter(RATE)
    met.update(wav)
    assert SilenceEnvelope.from_meter(met).apply(wav).shape == wav.shape
    if length:
        assert SilenceEnvelope.from_wave(wav, RATE).apply(wav).shape == wav.shape
