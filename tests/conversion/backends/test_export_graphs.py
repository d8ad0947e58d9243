from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from voiceae.dsp.mel import LogMel
from voiceae.io.audio import load
from voiceae.specs import AudioSpec

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from voiceae.conversion.backends.export_graphs import features_graph  # noqa: E402

pytestmark = pytest.mark.numeric

SPECS = {
    "default": AudioSpec(),
    "16 kHz": AudioSpec(
        sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_min=60, f_max=7600
    ),
}


def run(spec: AudioSpec, wav: np.ndarray) -> np.ndarray:
    graph = features_graph(spec).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"wav": wav.astype(np.float32)})[0][0]


def test_speech_is_as_near_to_the_exact_mel_as_the_tests_of_the_mel_ask(minivctk: Path) -> None:
    spec = SPECS["default"]
    wav = load(next(minivctk.rglob("*_mic1.flac")), spec.sample_rate).wav
    wanted = LogMel(spec).double()(torch.from_numpy(wav).double()).numpy()  # equals librosa's to 1e-6
    difference, loud = np.abs(run(spec, wav) - wanted), wanted > np.log(1e-3)
    assert difference.mean() <= 1e-5
    assert difference[loud].max() <= 1e-3
    assert difference[~loud].max() <= 1e-2


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("n_samples", [1, 300, 5000])
def test_any_length(spec: AudioSpec, n_samples: int) -> None:
    wav = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    wanted = LogMel(spec).double()(torch.from_numpy(wav).double()).numpy()
    found = run(spec, wav)
    assert found.shape == (spec.n_mels, spec.frames(n_samples))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)


def test_the_basis_is_not_stored() -> None:
    assert len(features_graph(SPECS["default"]).SerializeToString()) < 200_000
