"""The table of an ablation: paired differences from `base`, a table a dev set, halves of the pairs."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import write_model
from voiceae.evaluation.report import FORMAT

RECIPE = Path(__file__).resolve().parents[2] / "recipes/base"
VALUES = np.linspace(0.5, 0.7, 20)


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(RECIPE / "ablation.py"))


def write_report(path: Path, values: np.ndarray[Any, Any]) -> None:
    pairs = [
        {"source": f"{n}.wav", "references": ["b.wav"], "rows": {"conversion": {"sim_target": value}}}
        for n, value in enumerate(values)
    ]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": FORMAT, "rows": {}, "pairs": pairs}))


@pytest.fixture
def ablation(tmp_path: Path) -> Path:
    """Two variants on two dev sets: one is better by .03 in every pair of `studio`, and as good on `other`."""
    wobble = np.where(np.arange(20) % 2, 0.01, -0.01)
    for dev, better in (("studio", 0.03), ("other", 0.0)):
        write_report(tmp_path / "base" / dev / "report.json", VALUES)
        write_report(tmp_path / "no-gan" / dev / "report.json", VALUES + better + wobble)
    for name, leg, frames in (("base", "base_gan", 3_000_000), ("no-gan", "base", 2_500_000)):
        (tmp_path / name / "run" / leg).mkdir(parents=True)
        write_model(tmp_path / name / "run" / leg / "model.safetensors", extra={"frames": frames})
    return tmp_path


def test_a_difference_that_leaves_zero_out_is_bold(script: dict[str, Any], ablation: Path) -> None:
    other, studio = script["tables"](ablation).split("### ")[1:]
    assert other.startswith("other\n") and studio.startswith("studio\n")
    lines = studio.strip().splitlines()
    assert lines[2] == "| variant | M frames | similarity to the target |"
    assert lines[4] == "| base | 3.00 | 0.600 |"
    assert lines[5].startswith("| no-gan | 2.50 | **0.630 (+0.030 [+0.02") and lines[5].endswith("])** |")
    assert "| no-gan | 2.50 | 0.600 (+0.000 [-0.00" in other


def test_the_halves_are_other_pairs(script: dict[str, Any], ablation: Path) -> None:
    first, second = (script["tables"](ablation, half) for half in (0, 1))
    assert "(+0.020 [+0.020, +0.020])" in first and "(+0.040 [+0.040, +0.040])" in second


def test_without_a_report_of_base_it_is_one_line(ablation: Path) -> None:
    (ablation / "base/other/report.json").unlink()
    done = subprocess.run(
        [sys.executable, RECIPE / "ablation.py", ablation], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (
        1,
        1,
    ) and "no report of base on other" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--store", "none"], "ablate: error: --store none: is no feature store"),
        (["--store", "."], "ablate: error: --dev is missing"),
        (["--store", ".", "--dev", "none:folder"], "ablate: error: --dev none:folder: no such folder"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    if arguments[1] == ".":
        (tmp_path / "store.json").touch()
    command = ["bash", RECIPE / "ablate.sh", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
