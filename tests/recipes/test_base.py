"""The base model's recipe: refusals before any work, and a shipped model that is the trained one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import write_model
from voiceae.io import modelfile

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "base"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "base: error: --corpus is missing"),
        (["--corpus", "."], "base: error: --dev is missing"),
        (["--corpus", ".", "--corpus", "there", "--dev", "."], "base: error: --corpus there: no such folder"),
        (["--corpus", ".", "--dev", ".", "--dev", "nowhere"], "base: error: --dev nowhere: no such folder"),
        (["--corpus", ".", "--dev", "nowhere:folder"], "base: error: --dev nowhere:folder: no such folder"),
        (["--corpus"], "base: error: --corpus wants a value"),
        (["--corpus", ".", "--dev", ".", "--hours", "two"], "base: error: --hours two: is not a number"),
        (["--speed"], "base: error: unknown argument --speed"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", RECIPE / "run.sh", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_model_is_the_trained_one_in_half_the_bytes(tmp_path: Path) -> None:
    trained = write_model(tmp_path / "trained.safetensors", extra={"legs": [{"steps": 3}]})
    shipped = tmp_path / "shipped.safetensors"
    subprocess.run([sys.executable, RECIPE / "ship.py", trained, shipped], check=True)
    before, after = (modelfile.load(path, kind="autoencoder") for path in (trained, shipped))
    assert after.header.extra == {"legs": [{"steps": 3}]}
    assert shipped.stat().st_size < 0.75 * trained.stat().st_size
    for name, weight in before.module.state_dict().items():
        torch.testing.assert_close(after.module.state_dict()[name], weight, atol=1e-3, rtol=1e-3)
