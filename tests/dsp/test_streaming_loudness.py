from __future__ import annotations

import numpy as np
import pytest

from tests.tiny import SPEC
from voiceae.dsp.streaming_loudness import NoiseGate, StreamingLevel

pytestmark = pytest.mark.numeric

HOP = SPEC.hop_length


def noise(samples: int, level: float, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def through_gate(wav: np.ndarray, block: int = 1000) -> np.ndarray:
    """Envelope of a whole wave, asked for four hops after a block was heard."""
    gate, parts, done = NoiseGate(SPEC, -60.0), [], 0
    for start in range(0, len(wav), block):
        gate.update(wav[start : start + block])
        ready = max(done, start + block - 6 * HOP)
        parts.append(gate.envelope(done, ready - done))
        done = ready
    return np.concatenate(parts)


def test_the_gate_follows_speech_and_closes_behind_it() -> None:
    wav = noise(60 * HOP, 1e-4)
    wav[10 * HOP : 20 * HOP] = noise(10 * HOP, 0.1)
    envelope = through_gate(wav)
    assert not envelope[: 8 * HOP].any()  # two hops early
    assert (envelope[10 * HOP : 20 * HOP] == 1).all()
    assert (envelope[21 * HOP : 30 * HOP] == 1).all()  # the hang
    assert not envelope[34 * HOP :].any()
    assert np.abs(np.diff(envelope)).max() < 1.01 / (HOP - 1)  # no clicks


def test_a_microphones_offset_is_silence() -> None:
    assert not through_gate(noise(60 * HOP, 1e-4) + np.float32(0.2)).any()


def test_blocks_do_not_matter_to_the_gate() -> None:
    wav = noise(60 * HOP, 1e-4)
    wav[17 * HOP + 100 : 22 * HOP] = 0.1
    envelopes = [through_gate(wav, block) for block in (HOP, 1000, 3001)]
    shortest = min(map(len, envelopes))
    for other in envelopes[1:]:
        np.testing.assert_array_equal(other[:shortest], envelopes[0][:shortest])


@pytest.mark.parametrize("level", [0.003, 0.05, 0.4])
def test_speech_comes_to_the_common_level_and_back(level: float) -> None:
    running = StreamingLevel(SPEC, 1.0)
    for seed in range(40):
        block = noise(4 * HOP, level, seed)
        gain = running.update(np.square(block.reshape(4, HOP)).mean(axis=1).tolist())
        out = running.restore(0.5 * gain * block)
    assert 20 * np.log10(gain * level) == pytest.approx(-26, abs=0.3)
    assert np.sqrt(np.square(out).mean()) == pytest.approx(level if level < 0.3 else 0.3, rel=0.3)
    assert np.abs(out).max() <= 1.0001


def test_pauses_do_not_pull_the_level_down() -> None:
    running = StreamingLevel(SPEC, 1.0)
    gain = running.update([0.01] * 20 + [1e-6] * 60)
    assert 10 * np.log10(0.01) + 20 * np.log10(gain) == pytest.approx(-26, abs=0.1)
    assert StreamingLevel(SPEC, 1.0).update([]) == 1
