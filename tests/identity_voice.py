"""A voice whose parts are known exactly: an identity for a model, and a vocoder that remembers the wave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import voiceae
from tests.tiny import SPEC, write_model
from voiceae.conversion.backends.torch import TorchBackend
from voiceae.conversion.voice import Voice
from voiceae.dsp.statistics import active_moments
from voiceae.models import BottleneckOutput, Content, NoTimbre, Timbre, VoiceTraits
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder


class Identity(nn.Module):
    """Decodes what it encoded, which is the mel itself; a voice is the unit vector of the mel's first four bins."""

    matching = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.timbre = NoTimbre()

    def encode(self, mel: Tensor, mask: Tensor | None = None) -> Content:
        return Content(mel, BottleneckOutput(mel), mel[:, :0], torch.zeros(1))

    def embed(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        return nn.functional.normalize(mel[:, :4].mean(-1) + 1, dim=-1)

    def describe(self, mel: Tensor, mask: Tensor | None = None) -> VoiceTraits:
        return VoiceTraits(self.embed(mel), torch.ones(1), *active_moments(mel))

    def decode(
        self,
        content: Content,
        speaker: Tensor,
        *,
        timbre: Timbre | None = None,
        octaves: Tensor | None = None,
    ) -> Tensor:
        return content.units

    @staticmethod
    def pitch(mel: Tensor) -> Tensor:
        return mel[:, :1]


class Remembering(Vocoder):
    """Returns the wave that the last mel was made from, at another level, cut to whole frames."""

    def __init__(self, spec: AudioSpec = SPEC) -> None:
        super().__init__()
        self.spec, self.name = spec, "remembering"
        self.wav = torch.zeros(0)

    def forward(self, mel: Tensor) -> Tensor:
        return 0.3 * self.wav[None, : self.spec.samples(mel.shape[-1])]


@pytest.fixture
def exact_voice() -> Voice:
    vocoder = Remembering()
    backend = TorchBackend(model=Identity(), spec=SPEC, vocoder=vocoder)  # type: ignore[arg-type]
    backend.transform.register_forward_pre_hook(lambda _, inputs: setattr(vocoder, "wav", inputs[0]))
    return Voice(backend)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_voice(tiny_model: Path) -> Voice:
    return voiceae.load(tiny_model, vocoder="griffinlim", device="cpu")


@pytest.fixture(scope="session")
def timbre_voice(tmp_path_factory: pytest.TempPathFactory) -> Voice:
    """A voice whose decoder looks up frames of the reference."""
    path = write_model(tmp_path_factory.mktemp("models") / "timbre.safetensors", timbre=True)
    return voiceae.load(path, vocoder="griffinlim", device="cpu")


@pytest.fixture(scope="session")
def two_speakers(minivctk: Path) -> tuple[list[Path], list[Path]]:
    """Three recordings each of two real speakers."""
    folders = sorted((minivctk / "wav48_silence_trimmed").iterdir())
    first, second = (sorted(folder.glob("*.flac"))[:3] for folder in (folders[0], folders[-1]))
    return first, second


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
