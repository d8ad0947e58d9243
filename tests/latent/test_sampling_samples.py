from __future__ import annotations

from pathlib import Path

import numpy as np

from voiceae.conversion.voice import Voice
from voiceae.latent.sampling import SamplingPlan, draw_samples


def test_a_sample_is_the_same_however_many_follow(tiny_voice: Voice) -> None:
    one = draw_samples(tiny_voice, None, SamplingPlan(1, 0.5, seed=3))
    two = draw_samples(tiny_voice, None, SamplingPlan(2, 0.5, seed=3))
    np.testing.assert_array_equal(one[0].wav, two[0].wav)
    assert np.abs(two[0].wav - two[1].wav).max() > 0.01
    other = draw_samples(tiny_voice, None, SamplingPlan(1, 0.5, seed=4))
    assert np.abs(one[0].wav - other[0].wav).max() > 0.01


def test_what_is_given_is_not_drawn(tiny_voice: Voice, speakers: Path) -> None:
    source = speakers / "deep/s1/0.wav"
    voice = tiny_voice.profile(speakers / "deep/s2/0.wav")
    fixed = draw_samples(tiny_voice, None, SamplingPlan(1, 1.0, source=source, target=voice))
    np.testing.assert_allclose(fixed[0].wav, tiny_voice.convert(source, voice).wav, atol=1e-6)
    first, second = draw_samples(tiny_voice, None, SamplingPlan(2, 1.0, source=source))
    assert len(first.wav) == len(fixed[0].wav) and np.abs(first.wav - second.wav).max() > 1e-3
