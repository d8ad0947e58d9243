"""Recognition of words and phones, with times and a confidence.

PocketSphinx with its US English models, as the scorers of the evaluation use it; it comes with the extra `[eval]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError
from voiceae.pretrained.scorers import SAMPLE_RATE

FRAME_SECONDS = 0.01  # PocketSphinx's hop
PAUSE = "SIL"

_NATS = 1024 * math.log(1.0001)  # the decoder counts in steps of 1024 at a logarithm's base of 1.0001


@dataclass(frozen=True)
class Phone:
    """A phone with its start and end.

    Attributes:
        name: of the CMU dictionary, `SIL` for a pause.
        start: seconds.
        stop: seconds.
    """

    name: str
    start: float
    stop: float


@dataclass(frozen=True)
class Recognised:
    """Words and phones of a recording.

    Attributes:
        words: possibly none.
        phones: one after the other, pauses too.
        spoken: share of the time that words take.
        confidence: geometric mean, over the frames of the words, of the likelihood of the phone that was recognised
            over that of the sound that fits best; 0 where nothing was recognised, at most 1.
    """

    words: tuple[str, ...]
    phones: tuple[Phone, ...]
    spoken: float
    confidence: float


class Recogniser:
    """Recognises words, then aligns the phones of these words with the sound.

    Raises:
        ConfigError: when PocketSphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise ConfigError(
                f"the recogniser is not installed ({error}); pip install voiceae[eval]"
            ) from None
        self._make = lambda: Decoder(loglevel="FATAL", cmn="batch")
        self._decoder: Any = self._make()

    def score(self, wav: NDArray[np.floating[Any]]) -> Recognised:
        """Recognise a wave at 16 kHz: (N,) ->."""
        decoder = self._decoder
        sound = (np.clip(wav, -1, 1) * 32767).astype("<i2").tobytes()
        decoder.activate_search()  # of words; the alignment before left its own
        self._run(sound)
        if decoder.hyp() is None or not decoder.hyp().hypstr:
            return Recognised((), (Phone(PAUSE, 0.0, len(wav) / SAMPLE_RATE),), 0.0, 0.0)
        words = tuple(decoder.hyp().hypstr.split())
        decoder.set_alignment()
        self._run(sound)
        return _recognised(words, list(decoder.get_alignment().phones()), len(wav) / SAMPLE_RATE)

    def _run(self, sound: bytes) -> None:
        self._decoder.reinit_feat()  # else the noise estimate of the clip before decides words of this one
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()


def _recognised(words: tuple[str, ...], entries: list[Any], seconds: float) -> Recognised:
    phones = tuple(
        Phone(each.name, each.start * FRAME_SECONDS, (each.start + each.duration) * FRAME_SECONDS)
        for each in entries
    )
    said = [each for each in entries if each.name != PAUSE and not each.name.startswith("+")]
    frames = sum(each.duration for each in said)
    score = sum(each.score for each in said) * _NATS
    return Recognised(
        words=words,
        phones=phones,
        spoken=min(1.0, frames * FRAME_SECONDS / max(seconds, FRAME_SECONDS)),
        confidence=math.exp(min(0.0, score / frames)) if frames else 0.0,
    )


@cache
def recogniser() -> Recogniser:
    """The recogniser of this process.

    Raises:
        ConfigError: when PocketSphinx is not installed.
    """
    return Recogniser()


def phones_at(phones: tuple[Phone, ...], times: NDArray[np.floating[Any]]) -> list[str]:
    """Phone at each time; a pause where none is known: (n,) seconds -> n names."""
    stops = np.array([phone.stop for phone in phones])
    places = np.searchsorted(stops, times, side="right")
    return [phones[place].name if place < len(phones) else PAUSE for place in places]
