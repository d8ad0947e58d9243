"""Is it speech? What judges that never saw the model say of a sound that it made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voiceae.errors import ConfigError, VoiceAEError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.pretrained.recogniser import Recogniser, recogniser
from voiceae.pretrained.scorers import SAMPLE_RATE, Scorer, load_scorers

Watch = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps the items, for a progress bar."""

# Real sentences through the bundled model and Griffin-Lim get a signal of 3 and more, words for two thirds of the time
# and a confidence of .15 to .21; natural speech .24 and more, the same played backwards .13, noise 0, random
# contents at most .03 with a signal of 1.9 at most.
LEAST_SIGNAL = 2.0
LEAST_SPOKEN = 0.3
LEAST_CONFIDENCE = 0.1


@dataclass(frozen=True)
class SpeechCheckResult:
    """What was heard in a sound; None where a judge is not installed or could not say.

    Attributes:
        ovrl: DNSMOS, overall, 1 to 5.
        sig: DNSMOS, of the speech signal.
        words: that the recogniser heard.
        spoken: share of the time that they take.
        confidence: of the recogniser, 0 to 1.
        speech: whether every judge that was asked takes it for speech.
    """

    ovrl: float | None
    sig: float | None
    words: int | None
    spoken: float | None
    confidence: float | None
    speech: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class SpeechCheck:
    """The judges that there are.

    Attributes:
        quality: DNSMOS, or None.
        recogniser: of words, or None.
        missing: one line for each that is not installed.
    """

    quality: Scorer | None
    recogniser: Recogniser | None
    missing: tuple[str, ...]

    @classmethod
    def summon(cls) -> SpeechCheck:
        """Load whoever is installed."""
        panel = load_scorers(("mos",))
        missing = list(panel.missing.values())
        try:
            words: Recogniser | None = recogniser()
        except ConfigError as error:
            words = None
            missing.append(str(error))
        return cls(panel.judges.get("mos"), words, tuple(missing))

    def judge(self, audio: Audio) -> SpeechCheckResult:
        """Listen to one sound."""
        try:
            wav = audio_io.load(audio, SAMPLE_RATE).wav
        except VoiceAEError:  # silent, or not finite: nobody needs to be asked
            return SpeechCheckResult(None, None, 0, 0.0, 0.0, False)
        quality = self.quality.score(wav) if self.quality else {}
        heard = self.recogniser.score(wav) if self.recogniser else None
        sig = quality.get("sig")
        verdicts: list[bool] = [] if sig is None else [sig >= LEAST_SIGNAL]
        if heard:
            verdicts += [heard.spoken >= LEAST_SPOKEN, heard.confidence >= LEAST_CONFIDENCE]
        return SpeechCheckResult(
            ovrl=quality.get("ovrl"),
            sig=sig,
            words=len(heard.words) if heard else None,
            spoken=heard.spoken if heard else None,
            confidence=heard.confidence if heard else None,
            speech=all(verdicts) if verdicts else None,
        )


def check_all(sounds: Sequence[Audio], jury: SpeechCheck, watch: Watch = iter) -> list[SpeechCheckResult]:
    """Listen to many sounds, one after the other."""
    return [jury.judge(sound) for sound in watch(sounds)]
