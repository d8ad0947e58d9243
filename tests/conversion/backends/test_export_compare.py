from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.exported import CLIPS, write_exported
from voiceae.conversion.backends.base import EncodedSpeech
from voiceae.conversion.backends.onnx import ExportedGraphs, OnnxBackend
from voiceae.conversion.backends.torch import TorchBackend, load_backend
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.errors import ModelFileError
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder

pytest.importorskip("onnx")

from voiceae.conversion.backends.export import LIMITS, Differences, compare_models, compare_vocoders

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def both(model: Path) -> tuple[TorchBackend, ExportedGraphs]:
    graphs = ExportedGraphs(model.with_suffix(".onnx"), "autoencoder")
    return load_backend(model, "griffinlim", "cpu"), graphs


def test_a_right_export_is_let_through(both: tuple[TorchBackend, ExportedGraphs]) -> None:
    found = compare_models(*both, CLIPS)
    assert set(found.largest) == set(LIMITS) - {"wav", "turned_wav"}
    found.require_small("tiny")


def test_other_weights_are_noticed(both: tuple[TorchBackend, ExportedGraphs]) -> None:
    backend, graphs = both
    with torch.no_grad():
        next(iter(backend.model.decoder.parameters())).add_(0.05)
    with pytest.raises(
        ModelFileError, match=r"tiny: the graphs differ from torch: mel_.* nothing was written"
    ):
        compare_models(backend, graphs, CLIPS).require_small("tiny")


def test_a_frozen_length_is_noticed(
    both: tuple[TorchBackend, ExportedGraphs], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxBackend.decode

    def frozen(
        self: OnnxBackend, speech: EncodedSpeech, profile: SpeakerProfile, matching: float
    ) -> np.ndarray:
        return real(self, speech, profile, matching)[:, :100]

    monkeypatch.setattr(OnnxBackend, "decode", frozen)
    with pytest.raises(ModelFileError, match=r"came out of the graphs as \(80, 100\)"):
        compare_models(*both, CLIPS)


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

    def generate(self, mel: Tensor) -> Tensor:
        return mel.sum(1).repeat_interleave(SPEC.hop_length, dim=-1)


def test_vocoders_are_compared_relative_to_the_wave() -> None:
    mel = np.random.default_rng(0).standard_normal((80, 20)).astype(np.float32)

    def louder(mel: np.ndarray) -> np.ndarray:
        return 1.01 * mel.sum(0).repeat(SPEC.hop_length)

    found = compare_vocoders(Summed(), louder, [mel])  # type: ignore[arg-type]
    assert found.largest["wav"] == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ModelFileError, match=r"wav by 0\.01"):
        found.require_small("it")
