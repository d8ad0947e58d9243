from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import voiceae
from tests.exported import CLIPS, write_exported
from voiceae.conversion.backends.export_check import LIMITS, Differences, check_vocoder, check_voice
from voiceae.conversion.backends.numpy_griffinlim import GriffinLim
from voiceae.conversion.backends.onnx_voice import PortableVoice
from voiceae.conversion.backends.sessions import Export
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import ModelFileError
from voiceae.specs import AudioSpec
from voiceae.vocoders import Vocoder

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def both(model: Path) -> tuple[Voice, PortableVoice]:
    export = Export(model.with_suffix(".onnx"), "autoencoder")
    return voiceae.load(model, "griffinlim", "cpu"), PortableVoice(export=export, vocoder=GriffinLim(SPEC))


def test_a_right_export_is_let_through(both: tuple[Voice, PortableVoice]) -> None:
    found = check_voice(*both, CLIPS)
    assert set(found.largest) == set(LIMITS) - {"wav", "turned_wav"}
    found.require_small("tiny")


def test_other_weights_are_noticed(both: tuple[Voice, PortableVoice]) -> None:
    voice, portable = both
    with torch.no_grad():
        next(iter(voice.model.decoder.parameters())).add_(0.05)
    with pytest.raises(
        ModelFileError, match=r"tiny: the graphs differ from torch: mel_.* nothing was written"
    ):
        check_voice(voice, portable, CLIPS).require_small("tiny")


def test_a_frozen_length_is_noticed(
    both: tuple[Voice, PortableVoice], monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, portable = both
    real = portable.convert_mel

    def frozen(mel: np.ndarray, profile: SpeakerProfile, matching: float | None = None) -> np.ndarray:
        return real(mel, profile, matching)[:, :100]

    monkeypatch.setattr(portable, "convert_mel", frozen)
    with pytest.raises(ModelFileError, match=r"came out of the graphs as \(80, 100\)"):
        check_voice(voice, portable, CLIPS)


def test_differences_keep_the_largest_and_no_number_is_too_much() -> None:
    found = Differences()
    for value in (1e-5, 9e-4, 2e-4):
        found.note("mel_mean", value)
    found.require_small("it")
    found.note("mel_max", float("nan"))
    with pytest.raises(ModelFileError, match=r"mel_max by inf \(at most 0.01\); nothing was written"):
        found.require_small("it")


class Summed(Vocoder):
    spec, name = SPEC, "summed"

    def forward(self, mel: Tensor) -> Tensor:
        return mel.sum(1).repeat_interleave(SPEC.hop_length, dim=-1)


def test_vocoders_are_compared_relative_to_the_wave() -> None:
    mel = np.random.default_rng(0).standard_normal((80, 20)).astype(np.float32)

    class Louder:
        spec = SPEC

        def __call__(self, mel: np.ndarray) -> np.ndarray:
            return 1.01 * mel.sum(0).repeat(SPEC.hop_length)

    found = check_vocoder(Summed(), Louder(), [mel])
    assert found.largest["wav"] == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ModelFileError, match=r"wav by 0\.01"):
        found.require_small("it")
