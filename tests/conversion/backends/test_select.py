from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.exported import CLIPS
from tests.tiny import write_model
from voiceae.conversion.backends import select as choose
from voiceae.conversion.backends.onnx import OnnxBackend
from voiceae.conversion.backends.select import OnnxVoiceLoader, find_export, select_backend
from voiceae.conversion.backends.torch import TorchBackend
from voiceae.conversion.batch import VoiceLoader
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError, ExportError, ModelFileError

RECORDINGS = [str(clip) for clip in CLIPS]


@pytest.fixture
def loader(exported_model: Path) -> VoiceLoader:
    return VoiceLoader(model=str(exported_model))


def test_auto_takes_onnxruntime_for_a_short_recording(loader: VoiceLoader) -> None:
    found = select_backend(loader, "auto", RECORDINGS)
    assert isinstance(found, OnnxVoiceLoader)
    assert isinstance(found.load().backend, OnnxBackend)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_what_is_asked_for_is_taken(loader: VoiceLoader, runtime: str) -> None:
    for recordings in (RECORDINGS, None):
        assert isinstance(select_backend(loader, runtime, recordings), OnnxVoiceLoader) == (runtime == "onnx")


def test_auto_leaves_to_torch_what_torch_does_better(
    loader: VoiceLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(select_backend(loader, "auto", None)) is VoiceLoader  # a batch
    on_gpu = VoiceLoader(model=loader.model, vocoder=loader.vocoder, device="cuda")
    assert type(select_backend(on_gpu, "auto", RECORDINGS)) is VoiceLoader
    plain = VoiceLoader(model=str(write_model(tmp_path / "plain.safetensors")), vocoder="griffinlim")
    assert type(select_backend(plain, "auto", RECORDINGS)) is VoiceLoader
    monkeypatch.setattr(choose, "AUTO_SECONDS", 1.0)
    assert type(select_backend(loader, "auto", RECORDINGS)) is VoiceLoader
    assert isinstance(select_backend(loader, "auto", ["voices.npz:bob"]), OnnxVoiceLoader)


def test_auto_leaves_griffin_lim_to_torch(exported_model: Path) -> None:
    loader = VoiceLoader(model=str(exported_model), vocoder="griffinlim")
    assert type(select_backend(loader, "auto", RECORDINGS)) is VoiceLoader
    with pytest.raises(ConfigError, match="needs torch: use --runtime torch, or another vocoder"):
        select_backend(loader, "onnx", RECORDINGS).load()


def test_auto_goes_on_with_torch_where_an_export_is_damaged(spoilt: Path) -> None:
    (spoilt / "encode.onnx").unlink()
    loader = VoiceLoader(model=str(spoilt.with_suffix(".safetensors")), device="cpu")
    found = select_backend(loader, "auto", RECORDINGS)
    with pytest.warns(UserWarning, match=r"damaged export: encode\.onnx.*going on with torch"):
        voice = found.load()
    assert type(voice) is Voice and isinstance(voice.backend, TorchBackend)
    with pytest.raises(ExportError, match="damaged export"):
        select_backend(loader, "onnx", RECORDINGS).load()


def test_an_export_of_other_weights_is_not_used(spoilt: Path) -> None:
    model = write_model(spoilt.with_suffix(".safetensors"), seed=5)
    with pytest.raises(ExportError, match="was made of other weights"):
        find_export(model)


def test_a_model_without_an_export_says_how_to_make_one(tmp_path: Path) -> None:
    model = write_model(tmp_path / "plain.safetensors")
    with pytest.raises(
        ModelFileError, match=r"voiceae export .* --out .*plain\.onnx, or use --runtime torch"
    ):
        select_backend(VoiceLoader(model=str(model)), "onnx", RECORDINGS).load()


def test_torch_reads_the_model_file_of_an_export(export_folder: Path, exported_model: Path) -> None:
    found = select_backend(VoiceLoader(model=str(export_folder)), "torch", RECORDINGS)
    assert (type(found), found.model) == (VoiceLoader, str(exported_model))


def test_the_vocoder_inside_an_export_is_its_default(spoilt: Path) -> None:
    inner = spoilt / "vocoder"
    inner.mkdir()
    content = json.loads((spoilt / "manifest.json").read_text())
    content |= {"kind": "vocoder", "graphs": {"vocoder": "0"}, "weights": "vocoder.safetensors"}
    content["values"] = {"design": "network"}
    (inner / "manifest.json").write_text(json.dumps(content))
    shutil.copy(spoilt.with_suffix(".safetensors"), inner / "vocoder.safetensors")
    found = select_backend(VoiceLoader(model=str(spoilt)), "torch", None)
    assert found.vocoder == str(inner / "vocoder.safetensors")
    manifest = choose.read_manifest(spoilt, "autoencoder")
    assert choose._vocoder_export(spoilt, "default", manifest.spec) == inner
    with pytest.raises(ConfigError, match="vocoder griffinlim needs torch"):
        choose._vocoder_export(spoilt, "griffinlim", manifest.spec)


def test_bad_wishes_are_refused(loader: VoiceLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="runtime 'tensorflow': is unknown; use auto, onnx, torch"):
        select_backend(loader, "tensorflow", RECORDINGS)
    on_gpu = VoiceLoader(model=loader.model, device="cuda")
    with pytest.raises(ConfigError, match="computes on the CPU, not on cuda"):
        select_backend(on_gpu, "onnx", RECORDINGS).load()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert type(select_backend(loader, "auto", RECORDINGS)) is VoiceLoader
    with pytest.raises(ConfigError, match="pip install onnxruntime"):
        select_backend(loader, "onnx", RECORDINGS).load()


def test_without_torch_there_is_no_choice(loader: VoiceLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_installed", lambda name: name != "torch")
    assert isinstance(select_backend(loader, "auto", None), OnnxVoiceLoader)
    with pytest.raises(ConfigError, match="torch is not installed"):
        select_backend(loader, "torch", RECORDINGS)
