"""Systems under test: the model in each of its modes, and the reference rows that make its numbers readable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voiceae.assets import find_model, find_vocoder
from voiceae.conversion.chunked import ChunkOptions
from voiceae.conversion.voice import Voice, load
from voiceae.dsp.mel import LogMel
from voiceae.errors import AudioError, ConfigError
from voiceae.evaluation.pairs import Pair, trained_by, trained_speakers
from voiceae.hardware import resolve_device, torch_threads
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.io.modelfile import read_header
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.load import load_vocoder

MODES = {
    "full": "the whole recording at once",
    "chunked": "chunks of 5 s, statistics from 5 stretches of 1 s, as for a recording that is too long for memory",
    "streaming": "a stream that starts without statistics of the source's speaker, a tenth of a second late",
    "streaming-warm": "a stream that starts with the recording's own statistics, as after minutes of the speaker",
}
"""Modes of conversion by name, and what they do."""

# Far below the lengths that users meet (minutes), so that clips of some seconds are cut and joined too.
SHORT_CHUNKS = ChunkOptions(chunk_seconds=5.0, statistics_seconds=5.0, segment_seconds=1.0)
TIMED_PAIRS = 10  # some seconds of work, and the median no longer follows a single clip
_BLOCK_SECONDS = 0.02  # what sound cards commonly hand over at a time


def converter(voice: Voice, mode: str) -> Callable[[Path, Sequence[Any]], Audio]:
    """Make the function that converts a source file to target files in one mode.

    Args:
        voice: the model.
        mode: one of `MODES`.

    Raises:
        ConfigError: for another.
    """

    def convert(source: Path, targets: Sequence[Any]) -> Audio:
        if mode == "full":
            return voice.convert(source, list(targets))
        if mode == "chunked":
            return voice.convert(source, list(targets), chunks=SHORT_CHUNKS)
        audio = audio_io.load(source, voice.spec.sample_rate, what="a source")
        stream = voice.stream(list(targets), source_sample=audio if mode == "streaming-warm" else None)
        size = round(_BLOCK_SECONDS * audio.sample_rate)
        blocks = np.split(audio.wav, range(size, len(audio.wav), size))
        parts = [*map(stream.push, blocks), stream.flush()]
        return Audio(wav=np.concatenate(parts), sample_rate=audio.sample_rate)

    if mode not in MODES:
        raise ConfigError(f"mode {mode!r}: is unknown; use one of {', '.join(MODES)}")
    return convert


@dataclass(frozen=True)
class Row:
    """What a row of the report is called, and what it is."""

    words: str
    meaning: str


ROWS = {
    "source": Row("source", "the recording that was to be converted, untouched"),
    "target": Row("target's own", "another recording of the target"),
    "copy": Row("copy-synthesis", "the source's own mel through the vocoder: what the vocoder alone costs"),
    "transfer": Row(
        "transfer", "mean and deviation of the reference's mel bins put on the source's: no network at all"
    ),
    "reconstruction": Row("reconstruction", "the source in its own speaker's voice, by another clip of it"),
    "conversion": Row("conversion", "the source in the voice of the reference"),
    "shuffled": Row("chance", "the conversion held against the words of another source of like length"),
}
"""Rows by name."""

SUBSET_ROWS = ("copy", "reconstruction")
"""Rows that a fixed subset of the pairs suffices for."""


@dataclass
class SystemRunner:
    """Makes the wave of any row of any pair.

    Args:
        spec: mel contract of the rows without a network.
        vocoder: of the same contract.
        convert: source file and target files to audio; None where nothing can be converted here.
    """

    spec: AudioSpec
    vocoder: Vocoder
    convert: Callable[[Path, list[Path]], Audio] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self._transform = LogMel(self.spec).to(self.device)
        self._mel = lru_cache(maxsize=64)(self._read_mel)  # a clip is in several rows of a pair

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows that can be made for drawn pairs."""
        converted = ("reconstruction", "conversion") if self.convert else ()
        return ("source", "target", "copy", "transfer", *converted)

    def make(self, row: str, pair: Pair) -> Audio | Path | None:
        """Audio of a row, at any rate; None where the pair has no such row.

        Raises:
            VoiceAEError: when it cannot be made.
        """
        if row == "source":
            return pair.source.path
        if row == "target":
            return pair.natural.path if pair.natural else None
        if row == "copy":
            return self._synthesise(self._mel(pair.source.path))
        if row == "transfer":
            reference = torch.cat([self._mel(clip.path) for clip in pair.references], dim=-1)
            return self._synthesise(transfer_statistics(self._mel(pair.source.path), reference))
        if row == "conversion" and pair.converted is not None:
            return pair.converted
        clips = pair.references if row == "conversion" else (pair.source_reference,)
        paths = [clip.path for clip in clips if clip is not None]
        return self.convert(pair.source.path, paths) if self.convert and paths else None

    def _read_mel(self, path: Path) -> Tensor:
        """Log-mel of a file: -> (M, T)."""
        wav = torch.from_numpy(audio_io.load(path, self.spec.sample_rate).wav).to(self.device)
        with torch.inference_mode():
            return self._transform(wav)

    def _synthesise(self, mel: Tensor) -> Audio:
        """Vocode a log-mel: (M, T) -> (N,)."""
        with torch.inference_mode(), torch_threads(1):
            wav = self.vocoder(mel[None])[0].float().cpu().numpy()
        return Audio(wav=wav, sample_rate=self.spec.sample_rate)


def transfer_statistics(mel: Tensor, reference: Tensor) -> Tensor:
    """Give a mel the mean and deviation of another in every bin: (M, T), (M, T') -> (M, T).

    What any model must beat: no network, only the long-term spectrum of the speaker.
    """
    if mel.shape[1] < 2 or reference.shape[1] < 2:
        raise AudioError("one frame of mel has no deviation to transfer")
    own, other = (torch.std_mean(each, dim=1, keepdim=True, correction=0) for each in (mel, reference))
    return (mel - own[1]) / own[0].clamp_min(1e-5) * other[0] + other[1]


def load_model_system(
    model: str, vocoder: str, device: str, mode: str
) -> tuple[SystemRunner, Voice, dict[str, Any]]:
    """A model in one of its modes, its voice, and what a report says of it.

    Among that is what the caller must look at: speakers that it knows as `trained_on`, and its `teachers`.

    Args:
        model: bundled name or path.
        vocoder: as for `voiceae.load`.
        device: likewise.
        mode: one of `MODES`.
    """
    voice = load(model, vocoder, device)
    provenance = read_header(find_model(model)).extra
    about: dict[str, Any] = {
        "model": voice.name,
        "model fingerprint": voice.fingerprint,
        "mel": voice.spec.fingerprint,
        "vocoder": voice.vocoder.name,
        "parameters": voice.parameters,
        "trained_on": trained_speakers(provenance),
        "teachers": sorted(trained_by(provenance)),
    }
    if voice.model.speaker.limits:
        about["voices"] = voice.model.speaker.limits
    if mode != "full":
        about["mode"] = mode
    return SystemRunner(voice.spec, voice.vocoder, converter(voice, mode), voice.device), voice, about


def load_files_system(folder: Path, vocoder: str, device: str) -> tuple[SystemRunner, dict[str, Any]]:
    """Rows beside files that another system converted, and what a report says of them."""
    spec, where = AudioSpec(), resolve_device(device)
    loaded = load_vocoder(find_vocoder(vocoder, spec), spec, where)
    about = {"converted": folder.name, "mel": spec.fingerprint, "vocoder": loaded.name}
    return SystemRunner(spec, loaded, device=where), about


def seconds_by_stage(voice: Voice, pairs: Iterable[Pair]) -> dict[str, float]:
    """Seconds of compute per second of source audio on one thread, by stage: medians over a few pairs.

    Features are read and computed for source and target; the model encodes, embeds and decodes.

    Args:
        voice: the model with its vocoder.
        pairs: of each, the source and the first reference are used.
    """
    timed: dict[str, list[float]] = {"features": [], "model": [], "vocoder": []}
    for pair in islice(pairs, TIMED_PAIRS):
        source, target = (
            audio_io.load(clip.path, voice.spec.sample_rate) for clip in (pair.source, pair.references[0])
        )
        with torch_threads(1):
            times = [time.perf_counter()]
            for audio in (source, target):
                voice.mel(audio)
            times.append(time.perf_counter())
            mel = voice.decode(voice.encode(source), voice.profile(target))
            times.append(time.perf_counter())
            voice.synthesise(mel)
            times.append(time.perf_counter())
        features, model, vocoder = (end - start for start, end in pairwise(times))
        # Encoding computes the features once more.
        stages = {"features": features, "model": max(model - features, 0.0), "vocoder": vocoder}
        for stage, seconds in stages.items():
            timed[stage].append(seconds / source.seconds)
    return {stage: median(seconds) for stage, seconds in timed.items() if seconds}
