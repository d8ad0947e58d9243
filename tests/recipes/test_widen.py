"""Least squares for the band above the mel: what the recordings have there is what the vocoder then says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.vocoders.test_sourcefilter import DESCRIPTION
from tests.vocoders.test_sourcefilter_band import heard, level_db
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore
from voiceae.data.waves import add_waves
from voiceae.dsp.mel import LogMel
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders.load import load_vocoder

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/base"))

import widen

pytestmark = pytest.mark.numeric

RATE = 22050


def test_the_level_above_the_mel_is_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise that falls by 12 dB above the mel, as no flat continuation would."""
    rng = np.random.default_rng(0)
    hertz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    gain = np.where(hertz > 8000, 10 ** (-12 / 20), 1.0)
    for name in range(4):
        wav = np.fft.irfft(np.fft.rfft(rng.standard_normal(3 * RATE)) * gain)
        path = tmp_path / "corpus" / f"s{name}" / "a.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 * wav * (1 + name), RATE)
    prepare("folder", tmp_path / "corpus", tmp_path / "store", jobs=1)
    add_waves(FeatureStore.open(tmp_path / "store"))
    narrow, spec = heard(DESCRIPTION), AudioSpec()
    modelfile.save(
        tmp_path / "narrow.safetensors", narrow, kind="vocoder", description=DESCRIPTION, spec=spec
    )
    arguments = [str(tmp_path / name) for name in ("narrow.safetensors", "store", "wide.safetensors")]
    monkeypatch.setattr(sys, "argv", ["widen.py", *arguments, "--batches", "6"])
    widen.main()
    wide = load_vocoder(tmp_path / "wide.safetensors", spec)
    said = wide(LogMel(spec)(torch.tensor(0.2 * wav).float()[None]))[0]
    assert level_db(said, 8600, 10000) - level_db(said, 5000, 7000) == pytest.approx(-12.0, abs=2.0)
    taken = wide.state_dict()["enter.weight"]
    assert torch.equal(taken, narrow.enter.weight)
