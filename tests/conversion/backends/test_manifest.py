from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voiceae.conversion.backends.manifest import is_export, read_graph, read_manifest
from voiceae.errors import ExportError, ModelFileError
from voiceae.io.modelfile import read_header


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_manifest_says_what_the_model_file_says(export_folder: Path, exported_model: Path) -> None:
    header, found = read_header(exported_model), read_manifest(export_folder, "autoencoder")
    assert (found.spec, found.checksum, found.name) == (header.spec, header.checksum, "tiny")
    assert found.weights == exported_model.name
    assert found.statistics == {"mel_mean": [-4.0] * 80, "mel_deviation": [2.0] * 80}
    assert found.checked["clips"] == ["rms_1.flac", "slt_1.flac"]
    assert {"voiceae", "torch", "onnx", "onnxruntime"} <= set(found.versions)
    assert is_export(export_folder) and not is_export(export_folder.parent)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(
        ModelFileError, match=r"holds no manifest\.json; give a folder that voiceae export wrote"
    ):
        read_manifest(tmp_path, "autoencoder")


def test_another_kind(export_folder: Path) -> None:
    with pytest.raises(ModelFileError, match="of kind autoencoder, where vocoder is wanted"):
        read_manifest(export_folder, "vocoder")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 99}, "is of export format 99, this voiceae reads 2 to 3"),
        ({"format": 1}, "is of export format 1, this voiceae reads 2 to 3; export it again"),
        ({"format": None}, "export format None"),
        ({"fingerprint": "0" * 12}, "its fingerprint is not that of its mel contract"),
        ({"spec": {"sample_rate": 22050}}, "unknown or missing fields"),
        ({"graphs": {"features": "0"}}, "it names no graph decode, describe, encode"),
        ({"graphs": None}, "damaged export"),
        ({"kind": "vocoder"}, "it is of the unknown design None"),
        ({"kind": "vocoder", "values": {"design": "sourcefilter"}}, "it names no graph vocoder"),
    ],
)
def test_damage_is_said_in_one_line(spoilt: Path, changes: dict[str, Any], said: str) -> None:
    rewrite(spoilt, **changes)
    with pytest.raises(ExportError) as raised:
        read_manifest(spoilt, changes.get("kind", "autoencoder"))
    assert said in str(raised.value) and "export" in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_is_no_manifest(spoilt: Path, text: str) -> None:
    (spoilt / "manifest.json").write_text(text)
    with pytest.raises(ExportError, match="damaged export"):
        read_manifest(spoilt, "autoencoder")


def test_a_changed_or_missing_graph_is_refused(spoilt: Path) -> None:
    manifest = read_manifest(spoilt, "autoencoder")
    path = spoilt / "decode.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ExportError, match=r"decode\.onnx is not what was written"):
        read_graph(spoilt, manifest, "decode")
    path.unlink()
    with pytest.raises(ExportError, match=r"decode\.onnx: No such file"):
        read_graph(spoilt, manifest, "decode")
