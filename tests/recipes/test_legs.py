"""Legs of a training: budgets, batches that pay, whose weights a leg begins with."""

from __future__ import annotations

import argparse
import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import write_model
from tests.training.conftest import write_store
from voiceae.errors import TrainingError
from voiceae.io import modelfile

SCRIPT = Path(__file__).resolve().parents[2] / "recipes/common/legs.py"


@pytest.fixture(scope="module")
def legs() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def options(tmp_path: Path, **given: Any) -> argparse.Namespace:
    if not (tmp_path / "store").exists():
        write_store(tmp_path / "store")
    names = {"legs": "base:3,base_gan:1", "minutes": None, "steps": None, "start": None, "model": None}
    defaults = {**names, "overrides": [], "store": tmp_path / "store", "out": tmp_path / "out"}
    return argparse.Namespace(**{**defaults, **given})


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_a_leg_begins_with_the_weights_of_the_one_before_and_is_kept(tmp_path: Path) -> None:
    write_store(tmp_path / "store")
    given = ["--store", tmp_path / "store", "--out", tmp_path / "out", "--legs", "base,base_gan"]
    small = [
        "model=tiny",
        "data.batch_size=4",
        "data.crop_frames=32",
        "data.reference_frames=32",
        "trainer.threads=1",
    ]
    done = run(*given, "--steps", "2", *small, "base_gan:seed=5")
    assert done.returncode == 0, done.stderr
    header = modelfile.read_header(tmp_path / "out/base_gan/model.safetensors")
    assert [leg["steps"] for leg in header.extra["legs"]] == [2, 2]
    assert [leg["seed"] for leg in header.extra["legs"]] == [0, 5]
    again = run(*given, "--steps", "2", *small)
    assert again.returncode == 0 and again.stdout == ""


def test_a_wrong_leg_is_one_line(tmp_path: Path) -> None:
    write_store(tmp_path / "store")
    done = run("--store", tmp_path / "store", "--out", tmp_path / "out", "--legs", "nothing", "--steps", "2")
    assert done.returncode == 1
    assert done.stderr.startswith("legs: error: ") and done.stderr.count("\n") == 1


def test_minutes_are_shared_out_and_end_every_leg(
    legs: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(legs["Legs"].measure.__globals__, "seconds_per_step", lambda words: 0.5)
    asked = legs["Legs"](options(tmp_path, minutes=8.0))
    words = asked.choose(legs["Leg"]("base", 3), ["experiment=base", "data.store=x", "trainer=cpu"], 6.0)
    # Six minutes of half seconds, less what validations and this take.
    steps = int(next(word for word in words if word.startswith("trainer.max_steps=")).split("=")[1])
    assert 600 < steps <= 685 and not any("batch_size" in word for word in words)
    (tmp_path / "out/base.done").touch()
    left = legs["Legs"](options(tmp_path, minutes=8.0))
    assert left.end - asked.end == pytest.approx(-6 * 60, abs=5)


def test_the_batch_is_doubled_while_that_pays(legs: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    def seconds(words: list[str]) -> float:
        size = next((int(word.split("=")[1]) for word in words if word.startswith("data.batch_size=")), 64)
        if size > limit:
            raise TrainingError("out of memory")
        return max(0.1, size / 4000)  # full at 400 crops

    monkeypatch.setitem(legs["Legs"].measure.__globals__, "seconds_per_step", seconds)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    asked, words = legs["Legs"](options(tmp_path)), ["experiment=base", "data.store=x"]
    limit = 10_000
    assert asked.measure([*words, "trainer=gpu"]) == (
        ["data.batch_size=512", "optim.learning_rate=0.0024"],
        0.128,
    )
    limit = 200
    assert asked.measure([*words, "trainer=gpu"])[0][0] == "data.batch_size=128"
    assert asked.measure([*words, "trainer=cpu"]) == ([], 0.1)
    assert asked.measure([*words, "trainer=gpu", "data.batch_size=32"]) == ([], 0.1)


def test_overrides_of_a_leg_are_its_own(legs: dict[str, Any], tmp_path: Path) -> None:
    words = ["seed=1", "base:optim.kind=muon", "base_gan:seed=2", "out='a:b=c'"]
    asked = legs["Legs"](options(tmp_path, overrides=words, model="wide"))
    assert asked.fixed(legs["Leg"]("base", 1)) == ["model=wide", "seed=1", "optim.kind=muon", "out='a:b=c'"]
    assert asked.fixed(legs["Leg"]("vocoder", 1)) == ["seed=1", "out='a:b=c'"]


def test_what_a_store_and_earlier_legs_allow_is_on(legs: dict[str, Any], tmp_path: Path) -> None:
    asked = legs["Legs"](options(tmp_path, legs="speaker,base"))
    asked.done(legs["Leg"]("speaker", 1)).touch()
    assert asked.fixed(legs["Leg"]("base", 1)) == ["loss.frozen_speaker=true"]
    table = tmp_path / "store/utterances.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "group": "said in step"} for row in rows)
    grouped = legs["Legs"](options(tmp_path, legs="speaker,base"))
    assert "data.aligned_share=0.33" in grouped.fixed(legs["Leg"]("base", 1))
    assert "data.aligned_share=0.33" not in grouped.fixed(legs["Leg"]("speaker", 1))


def test_given_weights_replace_the_speaker_leg(legs: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    write_model(tmp_path / "start/model.safetensors")
    asked = legs["Legs"](options(tmp_path, legs="speaker,base,vocoder", start=tmp_path / "start"))
    assert [leg.name for leg in asked.legs] == ["base", "vocoder"]
    assert asked.start(legs["Leg"]("base", 1)) == tmp_path / "start/model.safetensors"
    assert asked.start(legs["Leg"]("vocoder", 1)) is None
    with pytest.raises(SystemExit, match="holds no model"):
        legs["Legs"](options(tmp_path, start=tmp_path / "out"))


def test_the_chosen_steps_are_kept_for_a_leg_that_goes_on(
    legs: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    ran: list[list[str]] = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command) or done)
    asked = legs["Legs"](options(tmp_path))
    (tmp_path / "out/base.json").write_text(json.dumps(["trainer.max_steps=77"]))
    asked.train(legs["Leg"]("base", 1), 0)
    (tmp_path / "out/base/checkpoints").mkdir(parents=True)
    (tmp_path / "out/base/checkpoints/last.ckpt").touch()
    asked.train(legs["Leg"]("base", 1), 0)
    assert all("trainer.max_steps=77" in command for command in ran)
    assert ["trainer.resume=auto" in command for command in ran] == [False, True]
