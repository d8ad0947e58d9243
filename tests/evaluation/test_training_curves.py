"""Curves with a departure put where the test knows it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from voiceae import cli
from voiceae.errors import ConfigError
from voiceae.evaluation.training_curves import (
    Comparison,
    compare_curves,
    only_in_one,
    read_curves,
    save_plots,
)

STEPS = np.arange(50, 5001, 50)


def write(path: Path, total: np.ndarray, **more: float) -> Path:
    lines = [
        {
            "step": int(s),
            "frames": int(s) * 100,
            "seconds": s / 2,
            "total": float(v),
            "frames_per_second": s,
            **more,
        }
        for s, v in zip(STEPS.tolist(), total, strict=False)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def falling(seed: int) -> np.ndarray:
    """A loss as it falls, with 2 % of noise."""
    return (0.5 + np.exp(-STEPS / 800)) * (1 + 0.02 * np.random.default_rng(seed).standard_normal(len(STEPS)))


def compare(tmp_path: Path, run: np.ndarray, by: str = "step") -> dict[str, Comparison]:
    ours, theirs = write(tmp_path / "run.jsonl", run), write(tmp_path / "reference.jsonl", falling(0))
    found = compare_curves(read_curves(ours, by), read_curves(theirs, by))
    return {each.name: each for each in found}


def test_another_seed_does_not_depart(tmp_path: Path) -> None:
    found = compare(tmp_path, falling(1))
    assert set(found) == {"total"}  # counters and the machine's speed are not compared
    assert found["total"].departs is None and abs(found["total"].last) < 0.05


@pytest.mark.parametrize("by", ["step", "frames", "seconds"])
def test_a_departure_is_found_where_it_is(tmp_path: Path, by: str) -> None:
    run = falling(1)
    run[STEPS >= 2000] *= 1.4
    unit = {"step": 1, "frames": 100, "seconds": 0.5}[by]
    found = compare(tmp_path, run, by)["total"]
    assert found.departs is not None and abs(found.departs / unit - 2000) <= 100
    assert found.last == pytest.approx(0.4, abs=0.06) and found.end == 5000 * unit


def test_a_run_that_is_lower_departs_and_one_wild_point_does_not(tmp_path: Path) -> None:
    wild = falling(1)
    wild[40:42] *= 3
    wild[-1] *= 2  # where no median smooths it
    assert compare(tmp_path, wild)["total"].departs is None
    assert compare(tmp_path, falling(1) * 0.7)["total"].departs == 50


def test_a_loss_that_is_no_number_departs_at_once(tmp_path: Path) -> None:
    run = falling(1)
    run[STEPS == 3000] = np.nan
    assert compare(tmp_path, run)["total"].departs == 3000


def test_a_shorter_run_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    found = compare(tmp_path, falling(1)[:20])["total"]
    assert found.end == 1000 and found.departs is None


def test_what_only_one_has_is_told(tmp_path: Path) -> None:
    ours = read_curves(write(tmp_path / "a.jsonl", falling(0), kl=1.0))
    theirs = read_curves(write(tmp_path / "b.jsonl", falling(0), commitment=1.0))
    assert only_in_one(ours, theirs) == (["kl"], ["commitment"])


def test_a_line_cut_short_at_the_end_is_left_out_and_elsewhere_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl", falling(0))
    text = path.read_text()
    path.write_text(text + '{"step": 51')
    assert len(read_curves(path)["total"].at) == len(STEPS)
    path.write_text('{"step": 51\n' + text)
    with pytest.raises(ConfigError, match="line 1: is not a JSON object"):
        read_curves(path)


def test_both_are_drawn(tmp_path: Path) -> None:
    found = list(compare(tmp_path, falling(1) * 1.5).values())
    save_plots(found, tmp_path / "curves.png", ("run", "reference"), "step")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_says_where_a_run_departs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = falling(1)
    run[STEPS >= 2000] *= 1.4
    ours, theirs = write(tmp_path / "run.jsonl", run), write(tmp_path / "reference.jsonl", falling(0))
    plot = tmp_path / "curves.png"
    assert cli.run(["curves", str(ours), "--compare", str(theirs), "--plot", str(plot)]) == 0
    assert "total" in (said := capsys.readouterr().out) and "departs at step" in said
    assert "1 of 1 figures depart" in said and plot.exists()
    assert cli.run(["curves", str(ours), "--compare", str(theirs), "--plot", str(plot)]) == 1


@pytest.mark.parametrize("text", [None, "", "no json\nat all\n", '{"step": 1}\n'])
def test_bad_input_is_one_line(tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    ours = write(tmp_path / "run.jsonl", falling(0))
    bad = tmp_path / "bad.jsonl"
    if text is not None:
        bad.write_text(text)
    assert cli.run(["curves", str(ours), "--compare", str(bad)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("voiceae: error: ") and said.count("\n") == 1
