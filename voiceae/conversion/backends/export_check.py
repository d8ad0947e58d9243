"""Is an export what torch computes? Asked of real clips before it is let out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.conversion.backends.onnx_vocoders import PortableVocoder
from voiceae.conversion.backends.onnx_voice import PortableVoice
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.statistics_matching import decode, match
from voiceae.conversion.voice import SOURCE_SECONDS, Voice
from voiceae.dsp.loudness import normalise
from voiceae.dsp.mel import LogMel
from voiceae.errors import ModelFileError
from voiceae.io import audio as audio_io
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.sourcefilter import SourceFilter

_LOUD = np.log(1e-3)  # natural-log mel; weaker bins carry few digits in float32
LIMITS = {
    "features_mean": 1e-5,
    "features_loud": 1e-3,
    "features_quiet": 1e-2,
    "speaker": 1e-4,
    "mel_mean": 1e-3,
    "mel_max": 1e-2,
    "wav": 1e-3,
    "turned_wav": 1e-2,
}
"""Largest differences that are let through: the features' from the exact log-mel, as the tests of `LogMel` have them
against librosa; the others from torch's result. `wav` is relative to the root mean square of the wave; `turned_wav` is
that of a vocoder which adds up a phase from frame to frame, and with it every rounding of the fundamental."""


@dataclass
class Differences:
    """The largest difference of every kind so far."""

    largest: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Take note of one; NaN counts as infinite."""
        value = float(value) if np.isfinite(value) else np.inf
        self.largest[name] = max(self.largest.get(name, 0.0), value)

    def require_small(self, what: str) -> None:
        """Refuse an export that differs.

        Raises:
            ModelFileError: when any difference is beyond its limit.
        """
        wrong = {name: value for name, value in self.largest.items() if not value <= LIMITS[name]}
        if wrong:
            listed = ", ".join(
                f"{name} by {value:.2g} (at most {LIMITS[name]:g})" for name, value in wrong.items()
            )
            raise ModelFileError(f"{what}: the graphs differ from torch: {listed}; nothing was written")


def check_voice(voice: Voice, portable: PortableVoice, clips: Sequence[Path]) -> Differences:
    """Every clip in the voice of the next, by both.

    Args:
        voice: the model on torch, on the CPU.
        portable: what was exported of it.
        clips: real speech, each at least 0.5 s long.
    """
    found, exact = Differences(), LogMel(voice.spec).double()
    for clip, other in zip(clips, islice(cycle(clips), 1, None), strict=False):
        mel, ours = voice.mel(clip), portable.mel(clip)
        _features(found, exact, voice, clip, ours)
        profile, heard_here = voice.profile(other), portable.profile(other)
        found.note("speaker", np.abs(profile.embedding - heard_here.embedding).max())
        _mels(found, _converted(voice, mel, profile), portable.convert_mel(ours, heard_here))
        for part in _cuts(mel, voice.model.rate, voice.spec.seconds_to_frames(SOURCE_SECONDS)):
            plain = np.ascontiguousarray(part.numpy())
            for asked in (
                profile,
                SpeakerProfile(profile.embedding),
            ):  # the latter is all that a bare embedding says
                _mels(found, _converted(voice, part, asked), portable.convert_mel(plain, asked))
    return found


def check_vocoder(
    vocoder: Vocoder, portable: PortableVocoder, mels: Sequence[NDArray[np.float32]]
) -> Differences:
    """Every mel (M, T) spoken by both; one of them several times over, so that it takes more than one piece."""
    found, name = Differences(), "turned_wav" if isinstance(vocoder, SourceFilter) else "wav"
    for mel in (*mels, np.tile(mels[0], (1, 4))):
        with torch.inference_mode():
            wanted = vocoder(torch.from_numpy(mel)[None])[0].numpy()
        error, size = (float(np.sqrt(np.mean(np.square(x)))) for x in (portable(mel) - wanted, wanted))
        found.note(name, error / max(size, 1e-12))
    return found


def _features(found: Differences, exact: LogMel, voice: Voice, clip: Path, mel: NDArray[np.float32]) -> None:
    wav = torch.from_numpy(
        normalise(audio_io.load(clip, rate := voice.spec.sample_rate).wav, rate).wav
    ).double()
    with torch.inference_mode():
        wanted = exact(torch.nn.functional.pad(wav, (0, voice.spec.pad_to_hop(len(wav))))).numpy()
    difference, loud = np.abs(mel - wanted), wanted > _LOUD
    found.note("features_mean", difference.mean())
    found.note("features_loud", difference[loud].max(initial=0.0))
    found.note("features_quiet", difference[~loud].max(initial=0.0))


def _mels(found: Differences, wanted: Tensor, ours: NDArray[np.float32]) -> None:
    if tuple(wanted.shape) != ours.shape:
        raise ModelFileError(
            f"a mel of {tuple(wanted.shape)} came out of the graphs as {ours.shape}; nothing was written"
        )
    difference = np.abs(ours - wanted.numpy())
    found.note("mel_mean", difference.mean())
    found.note("mel_max", difference.max())


def _converted(voice: Voice, mel: Tensor, profile: SpeakerProfile) -> Tensor:
    """(M, T) -> (M, T), with the statistics of the voice."""
    with torch.inference_mode():
        return match(
            decode(voice.model, voice.model.encode(mel[None]), profile), profile, voice.model.matching
        )


def _cuts(mel: Tensor, rate: int, shortest: int) -> Iterator[Tensor]:
    """Lengths that a trace may have frozen: every remainder of the code's rate, half, and the shortest there is."""
    frames = mel.shape[-1]
    lengths = {*(frames - cut for cut in range(rate + 1)), frames // 2, shortest}
    return (mel[:, :length] for length in sorted(lengths) if shortest <= length <= frames)
