from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from tests.tiny import SPEC, write_model
from voiceae import assets as module
from voiceae.errors import ModelFileError
from voiceae.io import modelfile
from voiceae.specs import AudioSpec


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    write_model(tmp_path / "voice.safetensors")
    for name, spec in (("fine", SPEC), ("coarse", AudioSpec(hop_length=512))):
        path = tmp_path / f"{name}.safetensors"
        modelfile.save(path, nn.Linear(1, 1), kind="vocoder", description={}, spec=spec)
    return tmp_path


def test_by_name_by_path_or_not_at_all(assets: Path) -> None:
    assert module.find_model("voice") == assets / "voice.safetensors"
    assert module.find_model(str(assets / "fine.safetensors")) == assets / "fine.safetensors"
    with pytest.raises(ModelFileError, match=r"nobody: no such model.*\(coarse, fine, voice\)"):
        module.find_model("nobody")


def test_kinds(assets: Path) -> None:
    assert list(module.bundled("autoencoder")) == ["voice"]
    assert list(module.bundled("vocoder")) == ["coarse", "fine"]


def test_default_vocoder_speaks_the_models_mel(assets: Path) -> None:
    assert module.find_vocoder("default", SPEC) == str(assets / "fine.safetensors")
    assert module.find_vocoder("default", AudioSpec(n_mels=40)) == "griffinlim"
    assert module.find_vocoder("coarse", SPEC) == str(assets / "coarse.safetensors")
    assert module.find_vocoder("some/folder", SPEC) == "some/folder"
