from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr

import voiceae
from voiceae.dsp.loudness import active_power, frame_powers
from voiceae.io.audio import Audio, load

CLIPS = Path(__file__).parents[2] / "recipes/demo/clips"


@pytest.mark.parametrize("rate", [2000, 4000])
@pytest.mark.filterwarnings("ignore:wave in memory")
def test_speech_of_a_narrow_band_is_as_loud_as_it_was(rate: int) -> None:
    """The network makes a burst of its end; it neither sets the level nor turns the whole down."""
    clip = load(CLIPS / "slt_1.flac", 16000)
    source = Audio(0.2 * soxr.resample(clip.wav, 16000, rate), rate)
    wav = voiceae.load("base").convert(source, CLIPS / "rms_1.flac")
    levels = [10 * np.log10(active_power(frame_powers(each.wav, each.sample_rate))) for each in (source, wav)]
    assert levels[1] == pytest.approx(levels[0], abs=2.0)
    assert np.abs(wav.wav).max() < 0.9
