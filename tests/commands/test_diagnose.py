"""The command on an invented store and models that were never trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tests.evaluation.diagnosis.worlds as worlds
from tests import tiny
from voiceae import cli
from voiceae.data.store import FeatureStore
from voiceae.io import modelfile


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_store(tmp_path_factory.mktemp("diagnose") / "store", speakers=6, clips=5)


@pytest.fixture(scope="module")
def model(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diagnose") / "dead.safetensors"
    module = worlds.build("VQ", 8, FeatureStore.open(store), size=8)
    module.bottleneck.codebook[1:] += 50  # type: ignore[union-attr]
    about = worlds.description("VQ", 8, size=8)
    modelfile.save(path, module, kind="autoencoder", description=about, spec=worlds.SPEC)
    return path


def test_a_dead_model_is_told_written_and_drawn(
    model: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "diagnosis"
    call = ["diagnose", str(model), "--store", str(store), "--out", str(out), "--quick"]
    assert cli.run(call) == 1  # it failed
    said = capsys.readouterr().out
    assert "failed   codebook" in said and "failed   collapse" in said
    report = json.loads((out / "diagnosis.json").read_text())
    assert report["verdict"] == "failed" and report["about"]["model"] == "dead"
    assert report["areas"]["codebook"]["figures"]["dead_codes"] == 7
    assert (out / "diagnosis.png").read_bytes().startswith(b"\x89PNG")
    assert cli.run(call) == 1
    assert "exists already" in capsys.readouterr().err


def test_bad_input_is_one_line(
    model: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = tiny.write_model(tmp_path / "narrow.safetensors", spec=replace(worlds.SPEC, hop_length=128))
    few = worlds.write_store(tmp_path / "few", speakers=2, clips=5)
    vocoder = tmp_path / "vocoder.safetensors"
    about = worlds.description("LinearBottleneck", 8)
    module = worlds.build("LinearBottleneck", 8, FeatureStore.open(store))
    modelfile.save(vocoder, module, kind="vocoder", description=about, spec=worlds.SPEC)
    for other, features, reason in (
        (narrow, store, "do not share one mel: hop_length"),
        (model, few, "2 training speakers with 5 utterances"),
        (vocoder, store, "is of kind vocoder"),
        (tmp_path / "none", store, "no such model"),
        (model, tmp_path / "none", "no such feature store"),
    ):
        assert cli.run(["diagnose", str(other), "--store", str(features)]) == 1
        said = capsys.readouterr().err
        assert reason in said and said.count("voiceae: error: ") == 1 and said.strip().count("\n") == 0
