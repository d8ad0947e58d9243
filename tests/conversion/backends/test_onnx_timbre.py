"""Frames of the target through exported graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import voiceae
from tests.exported import CLIPS, write_exported
from voiceae.conversion.backends.onnx import ExportedGraphs, OnnxBackend
from voiceae.conversion.speaker_profile import MAX_TIMBRE_TOKENS, SpeakerProfile
from voiceae.conversion.voice import Voice

pytestmark = pytest.mark.numeric

SOURCE, TARGET = CLIPS


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported(tmp_path_factory.mktemp("timbre"), timbre=True)


@pytest.fixture(scope="module")
def on_torch(exported: Path) -> Voice:
    return voiceae.load(exported, vocoder="griffinlim", device="cpu")


@pytest.fixture(scope="module")
def on_onnx(exported: Path) -> Voice:
    return Voice(OnnxBackend(ExportedGraphs(exported.with_suffix(".onnx"), "autoencoder")))


@pytest.fixture(scope="module")
def profile(on_torch: Voice) -> SpeakerProfile:
    return on_torch.profile(TARGET)


def converted(voice: Voice, profile: SpeakerProfile) -> np.ndarray:
    backend, wav = voice.backend, voice._levelled(SOURCE, 0.1, "a source").wav
    return backend.decode(backend.encode(backend.features(wav)), profile, 0.0)


def test_the_graphs_give_the_frames_that_torch_gives(
    on_onnx: Voice, on_torch: Voice, profile: SpeakerProfile
) -> None:
    assert on_onnx.backend.timbre_dim == on_torch.backend.timbre_dim == profile.timbre.shape[1] > 0
    found = on_onnx.profile(TARGET)
    np.testing.assert_allclose(found.timbre, profile.timbre, atol=1e-3)
    mel = np.tile(on_torch.mel(TARGET).numpy(), 9)
    for cut in (1, 2, 3, 50, 203, mel.shape[1]):  # whole code frames and others, more than are kept
        part = np.ascontiguousarray(mel[:, :cut])
        wanted = on_torch.describe_mel(part).timbre
        np.testing.assert_allclose(on_onnx.describe_mel(part).timbre, wanted, atol=1e-3)
    assert len(wanted) == MAX_TIMBRE_TOKENS


@pytest.mark.parametrize("count", [None, 0, 1, 7, MAX_TIMBRE_TOKENS])
def test_any_number_of_them_is_looked_up_as_torch_does(
    on_onnx: Voice, on_torch: Voice, profile: SpeakerProfile, count: int | None
) -> None:
    tokens = None if count is None else np.resize(profile.timbre, (count, profile.timbre.shape[1]))
    wanted, found = (converted(each, replace(profile, timbre=tokens)) for each in (on_torch, on_onnx))
    difference = np.abs(found - wanted)
    assert difference.mean() <= 1e-3 and difference.max() <= 1e-2


def test_they_matter(on_onnx: Voice, profile: SpeakerProfile) -> None:
    others = replace(profile, timbre=on_onnx.profile(SOURCE).timbre)
    mels = [converted(on_onnx, each) for each in (profile, others, replace(profile, timbre=None))]
    assert np.abs(mels[0] - mels[1]).mean() > 0.02 and np.abs(mels[0] - mels[2]).mean() > 0.02
