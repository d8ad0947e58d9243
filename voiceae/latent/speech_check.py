"""Whether a generated sound is speech, by scorers that never saw the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voiceae.errors import ConfigError, VoiceAEError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.io.console import Progress
from voiceae.pretrained.scorers import SAMPLE_RATE, Recogniser, Scorer, load_scorers, recogniser

# Real sentences through the bundled model and Griffin-Lim get a signal of 3 and more, words for two thirds of the time
# and a confidence of .15 to .21; natural speech .24 and more, the same played backwards .13, noise 0, random
# contents at most .03 with a signal of 1.9 at most.
MIN_SIG = 2.0
MIN_SPOKEN_SHARE = 0.3
MIN_CONFIDENCE = 0.1


@dataclass(frozen=True)
class SpeechCheckResult:
    """Measurements of one sound; None where a scorer is not installed or could not score it.

    Attributes:
        ovrl: DNSMOS, overall, 1 to 5.
        sig: DNSMOS, of the speech signal.
        words: how many the recogniser found.
        spoken: share of the time that they take.
        confidence: of the recogniser, 0 to 1.
        speech: whether every figure that there is reaches its threshold.
    """

    ovrl: float | None
    sig: float | None
    words: int | None
    spoken: float | None
    confidence: float | None
    speech: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, for a report."""
        values = asdict(self).items()
        return {name: round(each, 4) if isinstance(each, float) else each for name, each in values}


@dataclass(frozen=True)
class SpeechCheck:
    """The scorers that decide whether a sound is speech.

    Attributes:
        quality: DNSMOS, or None.
        recogniser: of words, or None.
        missing: one line for each that is not installed.
    """

    quality: Scorer | None
    recogniser: Recogniser | None
    missing: tuple[str, ...]

    @classmethod
    def load(cls) -> SpeechCheck:
        """Load the scorers that are installed."""
        loaded = load_scorers(("mos",))
        missing = list(loaded.missing.values())
        try:
            words: Recogniser | None = recogniser()
        except ConfigError as error:
            words = None
            missing.append(str(error))
        return cls(loaded.scorers.get("mos"), words, tuple(missing))

    def check(self, audio: Audio) -> SpeechCheckResult:
        """Score one sound, and compare its figures with the thresholds."""
        try:
            wav = audio_io.load(audio, SAMPLE_RATE).wav
        except VoiceAEError:  # silent, or not finite: there is nothing to score
            return SpeechCheckResult(None, None, 0, 0.0, 0.0, False)
        quality = self.quality.score(wav) if self.quality else {}
        recognised = self.recogniser.score(wav) if self.recogniser else None
        sig = quality.get("sig")
        passed: list[bool] = [] if sig is None else [sig >= MIN_SIG]
        if recognised:
            passed += [recognised.spoken >= MIN_SPOKEN_SHARE, recognised.confidence >= MIN_CONFIDENCE]
        return SpeechCheckResult(
            ovrl=quality.get("ovrl"),
            sig=sig,
            words=len(recognised.words) if recognised else None,
            spoken=recognised.spoken if recognised else None,
            confidence=recognised.confidence if recognised else None,
            speech=all(passed) if passed else None,
        )


def check_all(
    sounds: Sequence[Audio], check: SpeechCheck, progress: Progress = iter
) -> list[SpeechCheckResult]:
    """Check many sounds, one after the other."""
    return [check.check(sound) for sound in progress(sounds)]
