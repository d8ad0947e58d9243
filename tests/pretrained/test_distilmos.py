from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceae.errors import ConfigError
from voiceae.pretrained.distilmos import DistilMos


@pytest.fixture(scope="module")
def scorer() -> DistilMos:
    try:
        return DistilMos()
    except ConfigError as error:
        pytest.skip(str(error))


def test_noise_costs_opinion_and_level_does_not(
    scorer: DistilMos, minivctk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wav = soundfile.read(minivctk / "wav48_silence_trimmed/ls3080/ls3080_001_mic1.flac", dtype="float32")[0]
    wav = wav[: 4 * 16000]
    clean = scorer.score(wav)["distilmos"]
    noise = np.random.default_rng(0).normal(0, 0.3 * wav.std(), len(wav)).astype(np.float32)
    assert scorer.score(wav + noise)["distilmos"] < clean - 0.5
    assert scorer.score(wav / 4)["distilmos"] == pytest.approx(clean, abs=0.01)
    assert 2.5 < clean <= 5
    assert capsys.readouterr().out == "", "the package prints when it loads weights itself"


def test_it_is_what_the_package_says(scorer: DistilMos, minivctk: Path) -> None:
    torch = pytest.importorskip("torch")
    published = pytest.importorskip("distillmos").ConvTransformerSQAModel().eval()
    wav = soundfile.read(minivctk / "wav48_silence_trimmed/so0024/so0024_003_mic1.flac", dtype="float32")[0]
    with torch.inference_mode():
        expected = float(published(torch.from_numpy(wav)[None]))
    assert scorer.score(wav)["distilmos"] == pytest.approx(expected, abs=1e-4)
