"""The zoo's recipe: experiments drawn together, the table of what was measured, and refusals before any work."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tiny import SPEC, write_model
from voiceae.training.settings import Settings, compose

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
STORE = "data.store=STORE"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).name, RECIPES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan, table = loaded("common/plan"), loaded("zoo/table")


def planned(name: str, steps: int) -> dict[str, Any]:
    config = compose([f"experiment={name}", STORE])
    return compose([f"experiment={name}", STORE, *plan.overrides(config, steps)])


def systems() -> list[str]:
    line = next(
        line for line in (RECIPES / "zoo" / "run.sh").read_text().splitlines() if line.startswith("ALL=")
    )
    return line.removeprefix("ALL=(").removesuffix(")").split()


def test_all_thirteen_come_out_as_long_as_asked_and_are_still_valid() -> None:
    assert len(systems()) == 13
    for name in systems():
        settings = Settings.read(planned(name, 1200))
        assert settings.trainer.max_steps == 1200
        assert sum(stage.steps for stage in settings.trainer.stages) in (0, 1200), name


def test_schedules_keep_their_share_of_the_run() -> None:
    kl = planned("adain_vc", 1000)["loss"]["weights"]["kl"]
    assert (kl["steps"], kl["value"]) == (100, 0.0016)  # 20,000 of 200,000
    multitarget = planned("multitarget", 900)
    assert [stage["steps"] for stage in multitarget["trainer"]["stages"]] == [600, 300]
    assert multitarget["loss"]["weights"]["speaker_confusion"]["steps"] == 300
    assert multitarget["trainer"]["stages"][1]["train"][-1] == "adversary.discriminator"


def test_a_length_is_scaled_but_neither_vanishes_nor_grows() -> None:
    assert plan.scaled(20_000, 200_000, 1000) == 100
    assert plan.scaled(500, 100_000, 1000) == 50  # a twentieth
    assert plan.scaled(10, 100_000, 1000) == 10
    assert plan.scaled(500, 1000, 4000) == 500
    assert plan.scaled(500, 100_000, 10) == 1


@pytest.mark.parametrize("steps", [3, 7, 100, 999])
def test_stages_fill_the_run(steps: int) -> None:
    given = [
        {"name": name, "steps": length, "weights": {"kl": {"steps": 10}}}
        for name, length in zip("abc", (10, 20, 70), strict=True)
    ]
    lasting = [stage["steps"] for stage in plan.stages(given, 100, steps)]
    assert sum(lasting) == steps and min(lasting) >= 1


def test_values_are_written_as_hydra_reads_them() -> None:
    given = [{"name": "a b", "steps": 2, "train": ["x.y"], "rate": None, "on": True, "weights": {"kl": 0.5}}]
    config = compose([STORE, f"+loss.check={plan.hydra_value(given)}"])
    assert config["loss"]["check"] == given


def write_results(folder: Path, *, cer: float, areas: dict[str, Any]) -> None:
    """A system as the recipe leaves it."""
    model = write_model(folder / "run/model.safetensors", extra={"steps": 50, "seconds": 61.5})
    speeds = [{"step": 1, "total": 1.0, "frames_per_second": speed} for speed in (10.0, 30.0, 1000.0)]
    lines = [*speeds, {"step": 1, "valid/total": 1.0}]
    (model.parent / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    figures = {"sim_target": {"mean": 0.6}, "nearer_target": {"mean": 0.75}, "cer_recogniser": {"mean": cer}}
    rows = {"source": {"sim_target": {"mean": 0.5}}, "conversion": {**figures, "ovrl": {"mean": 2.345}}}
    (folder / "report").mkdir()
    report = {"about": {"corpus": "dev", "speakers": 30}, "rows": rows}
    (folder / "report/report.json").write_text(json.dumps(report))
    (folder / "diagnosis").mkdir()
    (folder / "diagnosis/diagnosis.json").write_text(json.dumps({"areas": areas}))


def areas(leaked: dict[str, float], collapse: dict[str, float], **more: Any) -> dict[str, Any]:
    figures = {"reconstruction": {"as it is": 0.33}, **collapse}
    return {"leakage": {"figures": {"times_chance": leaked}}, "collapse": {"figures": figures}, **more}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A Gaussian system of 1.5 nats a code frame, a discrete one, a plain one, and one that is not finished."""
    out = tmp_path / "out"
    write_results(out / "vae", cer=0.7, areas=areas({"codes": 9.0, "sampled": 3.0}, {"kl_nats": 1.5}))
    codebook = {"codebook": {"figures": {"bits_per_second": 150.0}}}
    write_results(out / "vqvae", cer=0.9, areas=areas({"codes": 2.0}, {}, **codebook))
    write_results(out / "ae", cer=0.4, areas=areas({"codes": 20.0}, {}))
    (out / "gradient_reversal/run").mkdir(parents=True)
    (out / "made-from.txt").write_text("10 minutes a system, 30 pairs, cpu, data.store='x'\n")
    return out


def make(out: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    import sys

    command = [
        sys.executable,
        RECIPES / "zoo" / "table.py",
        out,
        "--systems",
        "ae",
        "vae",
        "vqvae",
        "gradient_reversal",
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_table_says_what_was_measured(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- zoo:begin -->\nold\n<!-- zoo:end -->\nafter\n")
    done = make(results, "--readme", readme)
    assert done.returncode == 0, done.stderr
    with (results / "zoo.csv").open(newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["untouched source", "ae", "vae", "vqvae"]
    vae = rows["vae"]
    rate = SPEC.sample_rate / SPEC.hop_length / 4  # code frames a second
    assert float(vae["bits_per_second"]) == pytest.approx(1.5 * rate / math.log(2))
    assert (rows["vqvae"]["bits_per_second"], rows["ae"]["bits_per_second"]) == ("150.0", "")
    assert (vae["leaked"], rows["vqvae"]["leaked"]) == ("3.0", "2.0")  # what is drawn, where something is
    assert (vae["frames_per_second"], vae["steps"], vae["seconds"]) == ("30.0", "50", "61.5")
    assert (results / "zoo.png").read_bytes().startswith(b"\x89PNG")
    text = (results / "zoo.md").read_text()
    assert "Budget: 10 minutes a system, 30 pairs, cpu." in text and text in done.stdout
    assert readme.read_text() == f"before\n<!-- zoo:begin -->\n{text}<!-- zoo:end -->\nafter\n"
    line = next(line for line in text.splitlines() if line.startswith("| `vqvae`"))
    assert line.startswith("| `vqvae` | 0.600 | 75% | 0.900 | 2.35 | 2.0 | 150 | 0.330 | ")


def test_nothing_to_compare_is_one_line(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no system is trained, scored and diagnosed yet" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--corpus", "nowhere"], 1, "zoo: error: --corpus nowhere: no such folder"),
        (["--corpus", ".", "--dev", "nowhere"], 1, "zoo: error: --dev nowhere: no such folder"),
        (["--only", "vae,vqae"], 2, "zoo: vqae: is not one of ae ae_stacked"),
        (["--minutes", "soon"], 2, "zoo: --minutes soon: is not a number"),
        (["--steps", "1.5"], 2, "zoo: 1.5: is not a whole number above 0"),
        (["--device", "tpu"], 2, "zoo: --device is cpu or cuda, not tpu"),
        (["--corpus"], 2, "zoo: --corpus wants a value"),
        (["--speed", "1"], 2, "zoo: unknown argument --speed"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        ["bash", RECIPES / "zoo" / "run.sh", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_options_and_the_readme_has_a_place_for_the_table() -> None:
    done = subprocess.run(
        ["bash", RECIPES / "zoo" / "run.sh", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("--corpus", "--minutes", "--only", "--readme"))
    assert table.between((RECIPES / "zoo" / "README.md").read_text(), "x\n").count("x\n<!-- zoo:end -->") == 1
