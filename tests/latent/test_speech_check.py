from __future__ import annotations

import numpy as np
import pytest

from voiceae.io.audio import Audio
from voiceae.latent.speech_check import SpeechCheck, check_all
from voiceae.pretrained.scorers import Recognised


class Quality:
    version = "0"

    def __init__(self, sig: float) -> None:
        self.sig = sig

    def score(self, wav: np.ndarray) -> dict[str, float]:
        assert wav.dtype == np.float32
        return {"sig": self.sig, "bak": 3.0, "ovrl": 2.5}


class Words:
    def __init__(self, spoken: float, confidence: float) -> None:
        self.heard = Recognised(("a", "b"), (), spoken, confidence)

    def score(self, wav: np.ndarray) -> Recognised:
        return self.heard


SOUND = Audio(0.1 * np.random.default_rng(0).standard_normal(22050).astype(np.float32), 22050)


@pytest.mark.parametrize(
    ("sig", "spoken", "confidence", "speech"),
    [(3.5, 0.6, 0.3, True), (1.2, 0.6, 0.3, False), (3.5, 0.1, 0.3, False), (3.5, 0.6, 0.02, False)],
)
def test_every_judge_must_take_it_for_speech(
    sig: float, spoken: float, confidence: float, speech: bool
) -> None:
    (said,) = check_all([SOUND], SpeechCheck(Quality(sig), Words(spoken, confidence), ()))
    assert said.speech is speech and said.words == 2 and said.to_dict()["confidence"] == confidence


def test_without_judges_nothing_is_said() -> None:
    assert SpeechCheck(None, None, ()).check(SOUND).speech is None
    assert SpeechCheck(Quality(3.0), None, ()).check(SOUND).speech is True


def test_silence_is_no_speech() -> None:
    silent = Audio(np.zeros(22050, np.float32), 22050)
    assert SpeechCheck(Quality(5.0), Words(1, 1), ()).check(silent).speech is False
