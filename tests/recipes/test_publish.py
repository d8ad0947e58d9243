"""What outlasts a training's machine: the newest weights, whole logs, and nothing beyond the limits."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import HANG_GUARD_SECONDS, write_model
from voiceae.io import modelfile

SCRIPT = Path(__file__).resolve().parents[2] / "recipes/base/publish.py"


@pytest.fixture
def legs(tmp_path: Path) -> Path:
    """A leg that has been trained for 3 steps, and has begun to write a fourth line of its log."""
    folder = tmp_path / "legs/base"
    folder.mkdir(parents=True)
    write_model(folder / "model.safetensors", extra={"legs": [{"steps": 3}]})
    (folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 3}\n{"st')
    return tmp_path / "legs"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_last_look_is_after_the_end(legs: Path, tmp_path: Path) -> None:
    (legs / "ended").touch()
    subprocess.run([sys.executable, SCRIPT, legs, tmp_path / "out", "--every", "600"], check=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "metrics.jsonl",
        "model.safetensors.0",
    ]
    log = (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in log] == [{"leg": "base", "step": 1}, {"leg": "base", "step": 3}]


def test_it_does_not_outlive_the_script_that_started_it(legs: Path, tmp_path: Path) -> None:
    # The script goes once something is published; its standard output closes when the publisher has ended, too.
    started = f"'{sys.executable}' '{SCRIPT}' '{legs}' '{tmp_path}/out' --every 600 &"
    waits = f"until [ -e '{tmp_path}/out/metrics.jsonl' ]; do sleep 0.1; done"
    subprocess.run(
        ["bash", "-c", f"{started} {waits}"], stdout=subprocess.PIPE, timeout=HANG_GUARD_SECONDS, check=True
    )
    assert (tmp_path / "out/model.safetensors.0").exists()


def test_newer_weights_and_later_legs_replace_what_was_there(
    script: dict[str, Any], legs: Path, tmp_path: Path
) -> None:
    publisher = script["Publisher"](legs, tmp_path / "out")
    published = tmp_path / "out/model.safetensors.0"

    def steps() -> int:
        shutil.copy(published, tmp_path / "joined.safetensors")
        return int(modelfile.read_header(tmp_path / "joined.safetensors").extra["legs"][-1]["steps"])

    publisher.publish()
    first = published.stat().st_mtime_ns
    publisher.publish()
    assert (steps(), published.stat().st_mtime_ns) == (3, first)  # nothing new, nothing written
    write_model(legs / "base/model.safetensors", seed=1, extra={"legs": [{"steps": 5}]})
    os.utime(legs / "base/model.safetensors", ns=(0, first + 1))
    publisher.publish()
    assert steps() == 5
    (legs / "base_gan").mkdir()
    write_model(legs / "base_gan/model.safetensors", extra={"legs": [{"steps": 5}, {"steps": 2}]})
    publisher.publish()
    assert steps() == 2
    (legs / "base_gan/model.safetensors").write_bytes(b"damaged")
    publisher.publish()
    assert steps() == 2


def test_more_than_may_be_kept_is_refused(script: dict[str, Any], legs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for number in range(7):
        (tmp_path / f"out/other{number}").touch()
    with pytest.raises(SystemExit, match="9 files"):
        script["Publisher"](legs, tmp_path / "out").publish()
