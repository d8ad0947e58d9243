"""Scorers that answer at once, and a small corpus of tones for them to score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceae.errors import ScorerError
from voiceae.pretrained import scorers as scorers
from voiceae.pretrained.scorers import Measured, Wav

RATE = 16000


class ToneScorer:
    """Knows a voice by the pitch of its tone, and sentences by their length."""

    version = "tone-1"
    asked = 0

    def score(self, wav: Wav) -> Measured:
        type(self).asked += 1
        peak = np.abs(np.fft.rfft(wav[: RATE // 2])).argmax() * 2
        if peak > 2000:
            raise ScorerError("is a whistle")
        angle = np.pi / 2 * (peak - 100) / 1000
        return {
            "embedding": [float(np.cos(angle)), float(np.sin(angle))],
            "transcript": "word " * max(1, round(len(wav) / RATE)) + f"tone {peak // 300}",
            "ovrl": 3.0,
            "distilmos": 3.5,
            "f0": [float(peak)] * 30,
        }


class AbsentScorer:
    version = "never"

    def __init__(self) -> None:
        raise ImportError("No module named 'absent'")

    def score(self, wav: Wav) -> Measured:
        raise NotImplementedError


@pytest.fixture
def tone_scorers(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ToneScorer]]:
    """All scorers are replaced by `ToneScorer`, but that of spectra, which is not installed."""
    table = {name: ToneScorer for name in ("speaker", "dvector", "content", "mos", "distilmos", "pitch")}
    monkeypatch.setattr(scorers, "SCORERS", {**table, "mcd": AbsentScorer})
    scorers._load.cache_clear()
    ToneScorer.asked = 0
    yield ToneScorer
    scorers._load.cache_clear()


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Four speakers, a tone each, with six clips of 3 to 6 s."""
    rng = np.random.default_rng(0)
    for speaker, pitch in {"t1": 200, "t2": 400, "t3": 700, "t4": 1000}.items():
        for index in range(6):
            t = np.arange(round(RATE * (3 + index / 2))) / RATE
            wav = 0.2 * np.sin(2 * np.pi * (pitch + 2 * index) * t) + 0.01 * rng.standard_normal(len(t))
            path = tmp_path / "tones" / speaker / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wav, RATE)
    return tmp_path / "tones"
