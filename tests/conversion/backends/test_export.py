from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.exported import CLIPS
from tests.tiny import write_model
from voiceae.errors import ConfigError, ExportError, ModelFileError, OutputError
from voiceae.io import modelfile
from voiceae.io.modelfile import read_header
from voiceae.specs import AudioSpec

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from voiceae.assets import ASSETS
from voiceae.conversion.backends import export as write
from voiceae.conversion.backends.export import export
from voiceae.conversion.backends.onnx import ExportedGraphs, ExportedVocoder

HIFIGAN = {
    "_target_": "voiceae.vocoders.hifigan.HiFiGAN",
    "spec": AudioSpec().to_dict(),
    "resblock": "2",
    "upsample_rates": [8, 8, 4],
    "upsample_kernel_sizes": [16, 16, 8],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 2]],
}


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vocoder") / "small.safetensors"
    module = modelfile.build(HIFIGAN)
    modelfile.save(path, module, kind="vocoder", description=HIFIGAN, spec=AudioSpec())
    return path


def test_an_export_stands_alone(tmp_path: Path, vocoder: Path) -> None:
    model = write_model(tmp_path / "tiny.safetensors")
    out = tmp_path / "out"
    manifest = export(model, out, vocoder=vocoder, clips=CLIPS)
    assert sorted(path.name for path in out.iterdir()) == [
        "decode.onnx",
        "describe.onnx",
        "encode.onnx",
        "features.onnx",
        "manifest.json",
        "model.safetensors",
        "vocoder",
    ]
    assert (out / "model.safetensors").read_bytes() == model.read_bytes()
    assert manifest.checked["largest"]["mel_max"] <= 1e-2
    model.unlink()
    assert ExportedGraphs(out, "autoencoder").manifest == manifest
    inner = ExportedGraphs(out / "vocoder", "vocoder")
    mel = np.random.default_rng(0).standard_normal((80, 300)).astype(np.float32)
    with torch.inference_mode():
        wanted = modelfile.load(vocoder, kind="vocoder").module(torch.from_numpy(mel)[None])[0].numpy()
    found = ExportedVocoder(inner)(mel)  # 300 frames are three pieces
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_a_vocoder_can_be_exported_by_itself(vocoder: Path) -> None:
    out = vocoder.with_suffix(".onnx")
    manifest = export(vocoder, out, clips=CLIPS, graphs_only=True)
    assert (manifest.kind, manifest.weights) == ("vocoder", "small.safetensors")
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "vocoder.onnx"]


def test_a_wrong_export_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path / "tiny.safetensors")
    monkeypatch.setitem(write.LIMITS, "mel_mean", 0.0)
    with pytest.raises(ModelFileError, match="differ from torch: mel_mean"):
        export(model, tmp_path / "tiny.onnx", clips=CLIPS, graphs_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_a_model_whose_lengths_cannot_be_traced_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ExportError("decode.onnx failed")

    monkeypatch.setattr(write, "compare_models", failing)
    with pytest.raises(ModelFileError, match=r"cannot be exported: .* \(decode\.onnx failed\)"):
        export(write_model(tmp_path / "a.safetensors"), tmp_path / "a.onnx", clips=CLIPS, graphs_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_graphs_alone_stand_beside_their_model(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.safetensors")
    with pytest.raises(ConfigError, match=r"belong beside .*give --out .*tiny\.onnx"):
        export(model, tmp_path / "elsewhere" / "tiny.onnx", clips=CLIPS, graphs_only=True)


def test_what_is_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    with pytest.raises(OutputError, match="is no export"):
        export(write_model(tmp_path / "tiny.safetensors"), tmp_path / "full", clips=CLIPS, force=True)


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.onnx")), ids=lambda path: path.name)
def test_what_is_bundled_was_made_of_the_model_beside_it(path: Path) -> None:
    """Made anew, after a new model, by `voiceae export base --out voiceae/assets/base.onnx --graphs-only --force`."""
    manifest = json.loads((path / "manifest.json").read_text())
    header = read_header(path.with_suffix(".safetensors"))
    assert (manifest["checksum"], manifest["fingerprint"]) == (header.checksum, header.spec.fingerprint)
    largest = {"autoencoder": "mel_max", "vocoder": "turned_wav"}[header.kind]
    assert ExportedGraphs(path, header.kind).manifest.checked["largest"][largest] <= 1e-2


def test_all_that_is_bundled_is_exported() -> None:
    """Without an export, a bundled model or vocoder makes every short conversion wait for torch."""
    assert {path.stem for path in ASSETS.glob("*.onnx")} == {
        path.stem for path in ASSETS.glob("*.safetensors")
    }
