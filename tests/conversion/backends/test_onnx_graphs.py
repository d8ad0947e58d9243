from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.backends.manifest import read_manifest, weights_path
from voiceae.conversion.backends.onnx import ExportedGraphs, require_onnxruntime
from voiceae.errors import ConfigError, ExportError


def test_outputs_come_by_name(export_folder: Path) -> None:
    export = ExportedGraphs(export_folder, "autoencoder")
    mel = np.random.default_rng(0).standard_normal((1, 80, 50), np.float32)
    found = export.run("encode", mel=mel, nobody_asked=mel)
    shapes = {name: value.shape for name, value in found.items()}
    centre = {"pitch_centre": (1,), "pitch_confidence": (1,)}
    assert shapes == {"units": (1, 8, 13), "pitch": (1, 104, 50), **centre}
    np.testing.assert_allclose(found["pitch"].sum(1), 1.0, rtol=1e-5)


def test_weights_may_lie_in_the_folder_or_beside_it(spoilt: Path) -> None:
    manifest = read_manifest(spoilt, "autoencoder")
    beside = spoilt.parent / "tiny.safetensors"
    assert weights_path(spoilt, manifest) == beside
    beside.rename(spoilt / "tiny.safetensors")
    assert weights_path(spoilt, manifest) == spoilt / "tiny.safetensors"
    (spoilt / "tiny.safetensors").unlink()
    with pytest.raises(ExportError, match=r"tiny\.safetensors is neither in it nor beside it"):
        ExportedGraphs(spoilt, "autoencoder")


def test_what_onnxruntime_cannot_run_is_said_in_one_line(spoilt: Path) -> None:
    (spoilt / "encode.onnx").write_bytes(b"no graph")
    path = spoilt / "manifest.json"
    content = json.loads(path.read_text())
    content["graphs"]["encode"] = hashlib.sha256(b"no graph").hexdigest()
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"onnxruntime [\d.]+ cannot run encode\.onnx"):
        ExportedGraphs(spoilt, "autoencoder")


def test_inputs_that_a_graph_cannot_take(export_folder: Path) -> None:
    with pytest.raises(ExportError, match=r"tiny: encode\.onnx failed \("):
        ExportedGraphs(export_folder, "autoencoder").run("encode", mel=np.zeros((1, 81, 50), np.float32))


def test_onnxruntime_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="onnxruntime is not installed; pip install onnxruntime"):
        require_onnxruntime()
