"""`voiceae bench`: figures are printed and written, and a stage that cannot run does not hide the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import write_model
from voiceae.cli import run


def test_figures_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "tiny.safetensors")
    out = tmp_path / "bench.json"
    given = ["--model", str(model), "--runs", "1", "--out", str(out)]
    assert run(["bench", "matrix", "prepare", "griffinlim", "convert", *given]) == 1  # prepare was named
    figures = {figure["name"]: figure for figure in json.loads(out.read_text())}
    assert len(figures) == 4
    assert figures["float32 matrix product, 1024 cubed"]["value"] > 1
    assert figures["prepare"]["note"] == "not measured: needs --corpus, a folder of speakers"
    assert figures["convert 5 s with Griffin-Lim"]["bar"] == "at most 0.045"
    assert "times librosa" in capsys.readouterr().out


def test_an_unknown_stage_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "taste"]) == 2
    assert "taste: no such stage; there are matrix" in capsys.readouterr().err
