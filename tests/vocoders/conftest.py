"""Real speech for vocoders, and its mel."""

from __future__ import annotations

from pathlib import Path

import librosa
import pytest
import torch
from torch import Tensor

from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec


@pytest.fixture(scope="session")
def spec() -> AudioSpec:
    return AudioSpec()


@pytest.fixture(scope="session")
def to_mel(spec: AudioSpec) -> LogMel:
    return LogMel(spec)


@pytest.fixture(scope="session")
def clips(minivctk: Path, spec: AudioSpec) -> list[Tensor]:
    """Three seconds of four speakers, whole frames, (N,) each."""
    found = [
        sorted(folder.glob("*.flac"))[3]
        for folder in sorted((minivctk / "wav48_silence_trimmed").iterdir())[:4]
    ]
    samples = 3 * spec.sample_rate // spec.hop_length * spec.hop_length
    return [
        torch.from_numpy(librosa.load(path, sr=spec.sample_rate, duration=5.0)[0][:samples]) for path in found
    ]


@pytest.fixture(scope="session")
def mels(clips: list[Tensor], to_mel: LogMel) -> list[Tensor]:
    return [to_mel(clip) for clip in clips]
