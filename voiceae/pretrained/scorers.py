"""Pretrained models that score speech, each behind one small interface: speaker, words, naturalness, pitch, phones.

They come with the extra `[eval]`, carry their own weights and need no network. A scorer is imported and loaded
when it is first asked for, once a process, and keeps to one thread.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError, ScorerError
from voiceae.hardware import torch_threads
from voiceae.pretrained.distilmos import DistilMos
from voiceae.pretrained.dvector import DVectorEncoder
from voiceae.pretrained.moonshine import Moonshine
from voiceae.pretrained.whisper import Whisper

Wav = NDArray[np.float32]
Measured = dict[str, Any]

SAMPLE_RATE = 16000
"""Hz: every scorer is given 16 kHz, whatever the rate of what it scores."""

F0_PERIOD_SECONDS = 0.01  # WORLD takes 5 ms by default; correlations and offsets need no more than 10
F0_RANGE = (60.0, 550.0)  # Hz, from low male voices to children
SPEECH_SECONDS = 0.5  # Resemblyzer's windows are 1.6 s; one that is mostly padding embeds the padding
CEPSTRA = 24  # as in most published distortions of 16 kHz speech (Kubichek 1993; WORLD-based conversion)
FRAME_SECONDS = 0.01  # PocketSphinx's hop
PAUSE = "SIL"

_NATS = 1024 * math.log(1.0001)  # the decoder counts in steps of 1024 at a logarithm's base of 1.0001


class Scorer(Protocol):
    """Measures one wave at 16 kHz; what it returns are plain numbers and text, which can be kept as JSON."""

    version: str
    """Changes whenever the same wave could be scored differently."""

    def score(self, wav: Wav) -> Measured:
        """Score a wave: (N,) -> plain values by name.

        Raises:
            ScorerError: when the wave gives it nothing to score.
        """


class SpeakerScorer:
    """Resemblyzer, a GE2E speaker encoder: `embedding`, (256,), unit length, of the whole clip.

    Its own preprocessing is part of it: quiet clips are raised to -30 dBFS, pauses cut by WebRTC's detector.
    Wan et al., "Generalized end-to-end loss for speaker verification", arXiv 1710.10467.
    """

    def __init__(self) -> None:
        from resemblyzer import VoiceEncoder, preprocess_wav

        self._preprocess = preprocess_wav
        with torch_threads(1):
            self._encoder = VoiceEncoder("cpu", verbose=False)
        self.version = f"resemblyzer-{version('resemblyzer')}"

    def score(self, wav: Wav) -> Measured:
        """Embed the speaker: (N,) -> `embedding`."""
        speech = self._preprocess(wav, SAMPLE_RATE)
        if len(speech) < SPEECH_SECONDS * SAMPLE_RATE:
            raise ScorerError(
                f"{len(speech) / SAMPLE_RATE:.2f} s of speech; a speaker needs at least {SPEECH_SECONDS} s"
            )
        with torch_threads(1):
            embedding = self._encoder.embed_utterance(speech)
        return {"embedding": [round(float(value), 6) for value in embedding]}


class PocketSphinxScorer:
    """Words by PocketSphinx: `transcript`, possibly empty."""

    def __init__(self) -> None:
        self._recogniser = Recogniser()
        self.version = f"pocketsphinx-{version('pocketsphinx')}-en-us"

    def score(self, wav: Wav) -> Measured:
        """Recognise the words: (N,) -> `transcript`."""
        return {"transcript": self._recogniser.transcribe(wav)}


class NaturalnessScorer:
    """DNSMOS: `sig`, `bak`, `ovrl`, estimated opinion scores of ITU-T P.835 from 1 to 5.

    Windows of 9.01 s a second apart, shorter clips repeated to fill one. Reddy et al., arXiv 2110.01763.
    """

    SECONDS = 9.01  # the input length that the published network was trained with

    def __init__(self) -> None:
        import onnxruntime
        from speechmos import dnsmos

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = Path(dnsmos.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._calibrate = dnsmos.DNSMOS.get_polyfit_val
        self.version = f"speechmos-{version('speechmos')}"

    def score(self, wav: Wav) -> Measured:
        """Estimate the opinion scores: (N,) -> `sig`, `bak`, `ovrl`."""
        window = int(self.SECONDS * SAMPLE_RATE)
        times = 2 ** max(0, math.ceil(math.log2(window / len(wav))))
        filled = np.tile(wav / max(1.0, float(np.abs(wav).max())), times)
        count = int(len(filled) // SAMPLE_RATE - self.SECONDS) + 1
        windows = [filled[start * SAMPLE_RATE :][:window] for start in range(max(count, 1))]
        raw = [self._session.run(None, {"input_1": each[None].astype(np.float32)})[0][0] for each in windows]
        calibrated = np.mean([self._calibrate(None, *each, False) for each in raw], axis=0)
        scores = [round(float(score), 5) for score in calibrated]
        return dict(zip(("sig", "bak", "ovrl"), scores, strict=True))


class PitchScorer:
    """Fundamental frequency every 10 ms: `f0`, Hz, 0 where unvoiced.

    By WORLD's Harvest, or by pYIN where pyworld is not installed; the version says which.
    """

    def __init__(self) -> None:
        try:
            import pyworld
        except ImportError:
            self._track, self.version = self._pyin, f"pyin-{version('librosa')}"
        else:
            self._world = pyworld
            self._track, self.version = self._harvest, f"harvest-{version('pyworld')}"

    def score(self, wav: Wav) -> Measured:
        """Track the fundamental: (N,) -> `f0`."""
        f0 = self._track(wav)
        if not (f0 > 0).any():
            raise ScorerError("no voiced frame; pitch cannot be measured")
        return {"f0": [round(float(value), 2) for value in f0]}

    def _harvest(self, wav: Wav) -> NDArray[np.float64]:
        period = 1000 * F0_PERIOD_SECONDS
        f0, _ = self._world.harvest(wav.astype(np.float64), SAMPLE_RATE, *F0_RANGE, frame_period=period)
        return np.asarray(f0)

    def _pyin(self, wav: Wav) -> NDArray[np.float64]:
        import librosa

        hop_length = round(F0_PERIOD_SECONDS * SAMPLE_RATE)
        floor, ceiling = F0_RANGE
        f0, _, _ = librosa.pyin(
            wav, sr=SAMPLE_RATE, fmin=floor, fmax=ceiling, frame_length=1024, hop_length=hop_length
        )
        return np.nan_to_num(f0)


class SpectrumScorer:
    """Mel-cepstra of WORLD's spectral envelope every 10 ms: `cepstra`, (T, 24), for the distortion in dB.

    Without the zeroth coefficient, so that level does not count.
    """

    def __init__(self) -> None:
        import pyworld

        self._world = pyworld
        self.version = f"cheaptrick-{version('pyworld')}"

    def score(self, wav: Wav) -> Measured:
        """Compute mel-cepstra of the active frames: (N,) -> `cepstra`."""
        samples = wav.astype(np.float64)
        f0, times = self._world.dio(samples, SAMPLE_RATE, frame_period=1000 * F0_PERIOD_SECONDS)
        f0 = self._world.stonemask(samples, f0, times, SAMPLE_RATE)
        power = self._world.cheaptrick(samples, f0, times, SAMPLE_RATE)
        active = power.mean(axis=1) > power.mean() * 1e-4  # 40 dB below the mean is a pause
        return {"cepstra": np.round(mel_cepstra(power[active], SAMPLE_RATE), 4).tolist()}


def mel_cepstra(power: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Cepstra 1..24 of the log amplitude on a mel axis: (T, F) -> (T, 24).

    Scaled as in log |H| = c0 + 2 sum c_m cos(m w), as 10 / ln 10 * sqrt(2 sum d^2) dB presumes.

    Args:
        power: power spectra from 0 Hz to half the sample rate.
        sample_rate: Hz.
    """
    points = 256  # on the mel axis, ten times as many as the highest cepstrum needs
    # O'Shaughnessy's mel scale, 1127 ln(1 + f / 700): the one that published mel-cepstral distortions use.
    top = 1127 * math.log1p(sample_rate / 2 / 700)
    grid = (np.arange(points) + 0.5) / points
    bins = 700 * np.expm1(grid * top / 1127) / (sample_rate / 2) * (power.shape[1] - 1)
    low = np.minimum(bins.astype(int), power.shape[1] - 2)
    log_amplitude = 0.5 * np.log(np.maximum(power, 1e-16))
    warped = log_amplitude[:, low] * (1 - (bins - low)) + log_amplitude[:, low + 1] * (bins - low)
    cosines = np.cos(np.pi * np.outer(grid, np.arange(1, CEPSTRA + 1)))
    return warped @ cosines / points


SCORERS: dict[str, type[Scorer]] = {
    "speaker": SpeakerScorer,
    "dvector": DVectorEncoder,
    "content": Moonshine,
    "pocketsphinx": PocketSphinxScorer,
    "whisper": Whisper,
    "mos": NaturalnessScorer,
    "distilmos": DistilMos,
    "pitch": PitchScorer,
    "mcd": SpectrumScorer,
}
"""All scorers by name; `whisper:MODEL` names its model too."""

DEFAULT_SCORERS = ("speaker", "dvector", "content", "mos", "distilmos", "pitch", "mcd")
"""Those that are used unless others are asked for."""

SPEAKER_ENCODERS = ("speaker", "dvector")
"""Scorers that measure an `embedding`, the main one first."""

RECOGNISERS = ("content", "pocketsphinx", "whisper")
"""Scorers that measure a `transcript`, the main one first."""


def kind_of(name: str) -> str:
    """Name of a scorer without its model: "whisper:tiny" -> "whisper"."""
    return name.partition(":")[0]


def knows_english_only(name: str) -> bool:
    """Whether a scorer is a recogniser whose words are English, whatever is said."""
    return name in ("content", "pocketsphinx") or (kind_of(name) == "whisper" and name.endswith(".en"))


@dataclass(frozen=True)
class Scorers:
    """The scorers that could be loaded, and why the others could not.

    Attributes:
        scorers: by name.
        missing: one line for each that is not installed.
    """

    scorers: dict[str, Scorer]
    missing: dict[str, str]

    @property
    def versions(self) -> dict[str, str]:
        """Version of every scorer, by its name."""
        return {name: scorer.version for name, scorer in self.scorers.items()}


def load_scorers(names: tuple[str, ...] = DEFAULT_SCORERS) -> Scorers:
    """Load scorers; one that is not installed is named with what to do, and the others go on.

    Raises:
        ConfigError: for a name that is unknown, or one scorer with two models.
    """
    unknown = [
        name for name in names if kind_of(name) not in SCORERS or (":" in name and kind_of(name) != "whisper")
    ]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: no such scorer; there are {', '.join(SCORERS)}")
    kinds = [kind_of(name) for name in dict.fromkeys(names)]
    if len(set(kinds)) < len(kinds):  # their figures would have the same names
        raise ConfigError(f"{', '.join(names)}: one model of whisper at a time; evaluate once for each")
    loaded = {name: _load(name) for name in names}
    return Scorers(
        scorers={name: each for name, each in loaded.items() if not isinstance(each, str)},
        missing={name: each for name, each in loaded.items() if isinstance(each, str)},
    )


@cache
def _load(name: str) -> Scorer | str:
    """The scorer of that name, or why there is none."""
    try:
        with warnings.catch_warnings():
            # Two of them import names that scipy and setuptools are about to retire.
            warnings.simplefilter("ignore")
            kind, _, model = name.partition(":")
            make: Callable[..., Scorer] = SCORERS[kind]
            return make(model) if model else make()
    except ConfigError as error:
        return f"scorer {name}: {error}"
    except ImportError as error:
        return f"scorer {name}: not installed ({error}); pip install voiceae[eval]"


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
    """PocketSphinx with its default US English models: words, then the phones of these words aligned with the sound.

    Raises:
        ConfigError: when PocketSphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            why = f"the recogniser is not installed ({error}); pip install voiceae[eval]"
            raise ConfigError(why) from None
        self._decoder: Any = Decoder(loglevel="FATAL", cmn="batch")

    def transcribe(self, wav: Wav) -> str:
        """Recognise the words of a wave at 16 kHz: (N,) -> possibly empty text."""
        self._decoder.activate_search()  # of words; an alignment leaves its own
        self._decode(wav)
        found = self._decoder.hyp()
        return found.hypstr if found else ""

    def score(self, wav: Wav) -> Recognised:
        """Recognise a wave at 16 kHz, with times and a confidence: (N,) ->."""
        words, seconds = tuple(self.transcribe(wav).split()), len(wav) / SAMPLE_RATE
        if not words:
            return Recognised((), (Phone(PAUSE, 0.0, seconds),), 0.0, 0.0)
        self._decoder.set_alignment()
        self._decode(wav)
        entries = list(self._decoder.get_alignment().phones())
        phones = tuple(
            Phone(each.name, each.start * FRAME_SECONDS, (each.start + each.duration) * FRAME_SECONDS)
            for each in entries
        )
        # Fillers such as breath begin with a plus.
        spoken = [each for each in entries if each.name != PAUSE and not each.name.startswith("+")]
        frames = sum(each.duration for each in spoken)
        score = sum(each.score for each in spoken) * _NATS
        share = min(1.0, frames * FRAME_SECONDS / max(seconds, FRAME_SECONDS))
        return Recognised(words, phones, share, math.exp(min(0.0, score / frames)) if frames else 0.0)

    def _decode(self, wav: Wav) -> None:
        self._decoder.reinit_feat()  # else the noise estimate of the clip before decides words of this one
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(wav, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()


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
