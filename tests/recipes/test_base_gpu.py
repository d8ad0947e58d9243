"""`recipes/base/gpu.sh` rehearsed on the CPU: from packs to weights in parts, and on from them."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import ROOT, Run, write_buzz
from voiceae.io import modelfile

SMALL = [
    *("data.batch_size=4", "data.crop_frames=32", "data.reference_frames=32", "trainer.threads=1"),
    *("base:model=tiny", "vocoder:model.channels=16", "vocoder:model.n_blocks=1"),
]
join = runpy.run_path(str(ROOT / "recipes/common/parts.py"))["join"]


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of four speakers, in a folder with a space."""
    root = tmp_path_factory.mktemp("gpu") / "a folder"
    for number in range(12):
        write_buzz(
            root / f"corpus/s{number % 4}/{number}.wav", pitch=90 + 10 * number, seed=number, rate=16000
        )
    command = [sys.executable, ROOT / "recipes/base/pack.py", root / "corpus", "--out", root / "packs"]
    subprocess.run(command, check=True)
    return root / "packs"


def test_weights_come_out_in_parts_and_are_a_start(recipe: Run, packs: Path, tmp_path: Path) -> None:
    out = tmp_path / "what is kept"
    given = ["--opus", packs / "speech-1.tar", "--steps", "2", "--device", "cpu", *SMALL]
    done = recipe("base/gpu.sh", *given, "--out", out, "--work", tmp_path / "work", "--legs", "base,vocoder")
    assert done.returncode == 0, done.stdout + done.stderr
    files = sorted(out.iterdir())
    assert [path.name for path in files] == ["metrics.jsonl", "model.safetensors.0", "vocoder.safetensors.0"]
    assert all(path.stat().st_size <= 15 * 2**20 and re.fullmatch(r"[\w.-]+", path.name) for path in files)
    legs = [json.loads(line)["leg"] for line in files[0].read_text().splitlines()]
    assert set(legs) == {"base", "vocoder"}

    joined = join(out, tmp_path / "joined")
    model = modelfile.load(joined["model.safetensors"], kind="autoencoder")
    assert modelfile.load(joined["vocoder.safetensors"], kind="vocoder").header.parameters > 1000
    trained = modelfile.load(tmp_path / "work/base/model.safetensors", kind="autoencoder")
    for name, weight in trained.module.state_dict().items():  # averaged, in half precision
        torch.testing.assert_close(model.module.state_dict()[name], weight, atol=1e-3, rtol=1e-3)

    done = recipe(
        "base/gpu.sh", *given, "--out", tmp_path / "later", "--start", out, "--legs", "speaker,base"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    later = join(tmp_path / "later", tmp_path / "joined later")
    header = modelfile.read_header(later["model.safetensors"])
    assert [leg["steps"] for leg in header.extra["legs"]] == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "gpu: error: give recordings, as --opus"),
        (["--opus", "none.tar"], "gpu: error: --opus none.tar: no such pack"),
        (["--opus", "."], "gpu: error: --out is missing"),
        (["--opus", ".", "--out", "x", "--minutes", "ten"], "gpu: error: --minutes ten: is not a number"),
        (["--opus", ".", "--out", "x", "--device", "tpu"], "gpu: error: --device tpu: is neither"),
        (["--opus", ".", "--out", "x", "--start", "none"], "gpu: error: --start none: no such folder"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    script = ROOT / "recipes/base/gpu.sh"
    done = subprocess.run(
        ["bash", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
