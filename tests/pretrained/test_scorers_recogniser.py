from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.io import audio as audio_io
from voiceae.pretrained.scorers import PAUSE, Phone, Recogniser, phones_at, recogniser

CLIP = Path(__file__).resolve().parents[2] / "recipes/demo/clips/slt_2.flac"


@pytest.fixture(scope="module")
def sphinx() -> Recogniser:
    pytest.importorskip("pocketsphinx", reason="the scorers are not installed (extra `eval`)")
    return recogniser()


def test_phone_at_a_time() -> None:
    phones = (Phone("AA", 0.0, 0.2), Phone("S", 0.2, 0.5))
    assert phones_at(phones, np.array([0.0, 0.19, 0.2, 0.49, 0.6])) == ["AA", "AA", "S", "S", PAUSE]


def test_words_phones_and_confidence(sphinx: Recogniser) -> None:
    wav = audio_io.load(CLIP, 16000).wav[:28000]
    heard = sphinx.score(wav)
    assert len(heard.words) > 2 and 0.4 < heard.spoken <= 1
    assert heard.phones[0].start == 0 and heard.phones[-1].stop == pytest.approx(len(wav) / 16000, abs=0.05)
    assert all(a.stop == pytest.approx(b.start) for a, b in zip(heard.phones, heard.phones[1:], strict=False))
    assert sphinx.score(wav) == heard  # the alignment before leaves nothing behind
    noise = sphinx.score(0.1 * np.random.default_rng(0).standard_normal(12000))
    assert noise.confidence < 0.1 < heard.confidence
