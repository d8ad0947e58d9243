from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.exported import CLIPS
from voiceae.conversion.backends.numpy_sourcefilter import SourceFilter
from voiceae.conversion.backends.onnx_vocoders import exported_vocoder
from voiceae.conversion.backends.sessions import Export
from voiceae.dsp.mel import LogMel
from voiceae.io import modelfile
from voiceae.io.audio import load
from voiceae.specs import AudioSpec
from voiceae.vocoders import Vocoder

SPEC = AudioSpec()
DESCRIPTION = {
    "_target_": "voiceae.vocoders.sourcefilter.SourceFilter",
    "audio": SPEC.to_dict(),
    "channels": 16,
    "hidden": 16,
    "n_blocks": 1,
    "pitch": {"channels": 16, "hidden": 16, "n_blocks": 1},
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vocoder, SourceFilter]:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from voiceae.conversion.backends.export import export

    torch.manual_seed(0)
    module = modelfile.build(DESCRIPTION).eval()
    with torch.no_grad():
        module.leave.weight.normal_(std=0.1)  # corrections that can be heard
    path: Path = tmp_path_factory.mktemp("vocoder") / "own.safetensors"
    modelfile.save(path, module, kind="vocoder", description=DESCRIPTION, spec=SPEC)
    export(path, path.with_suffix(".onnx"), clips=CLIPS, graphs_only=True)
    portable = exported_vocoder(Export(path.with_suffix(".onnx"), "vocoder"))
    assert isinstance(portable, SourceFilter)
    return module, portable


def test_the_wave_is_that_of_torch(both: tuple[Vocoder, SourceFilter]) -> None:
    mel = LogMel(SPEC)(torch.from_numpy(load(CLIPS[0], SPEC.sample_rate).wav))
    with torch.inference_mode():
        wanted = both[0](mel[None])[0].numpy()
    wav = both[1](mel.numpy())
    assert wav.shape == wanted.shape
    assert np.sqrt(np.mean((wav - wanted) ** 2) / np.mean(wanted**2)) < 0.02


def test_pieces_join(both: tuple[Vocoder, SourceFilter], monkeypatch: pytest.MonkeyPatch) -> None:
    mel = LogMel(SPEC)(torch.from_numpy(load(CLIPS[1], SPEC.sample_rate).wav)).numpy()
    whole = both[1](mel)
    monkeypatch.setattr(both[1], "_piece", 50)
    pieced = both[1](mel)
    assert np.sqrt(np.mean((pieced - whole) ** 2) / np.mean(whole**2)) < 0.01
