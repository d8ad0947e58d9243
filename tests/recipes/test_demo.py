"""`recipes/demo/run.sh`: the main job with the bundled model on the project's own clips."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from tests.recipes.conftest import ROOT, Run

CLIPS = ROOT / "recipes/demo/clips"


def test_it_converts_both_ways_embeds_and_draws(recipe: Run, tmp_path: Path) -> None:
    done = recipe("demo/run.sh", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    seconds = {"slt_1-as-rms_2.wav": "slt_1.flac", "rms_2-as-slt_1.wav": "rms_2.flac"}
    for converted, source in seconds.items():
        info = soundfile.info(tmp_path / converted)
        assert abs(info.duration - soundfile.info(CLIPS / source).duration) <= 1 / info.samplerate
    with np.load(tmp_path / "embeddings.npz") as table:
        assert set(table) == {"A", "B", "A_as_B", "B_as_A"}
        assert all(abs(np.linalg.norm(vector) - 1) < 1e-5 for vector in table.values())
        assert table["A"] @ table["B"] < 0.99
    picture = (tmp_path / "mels.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000


def test_it_takes_other_clips_and_runs_twice(recipe: Run, tmp_path: Path) -> None:
    mine = shutil.copy(CLIPS / "slt_2.flac", tmp_path / "meine Stimme é.flac")
    for _ in range(2):
        done = recipe("demo/run.sh", "--source", mine, "--out", tmp_path / "out")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/meine Stimme é-as-rms_2.wav").exists()


def test_a_wrong_clip_is_one_line(recipe: Run, tmp_path: Path) -> None:
    done = recipe("demo/run.sh", "--source", tmp_path / "none.wav", "--out", tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"demo: error: {tmp_path / 'none.wav'}: ")


def test_the_directions_of_the_readme_are_made_anew(tmp_path: Path) -> None:
    script = ROOT / "recipes/demo/directions.py"
    subprocess.run([sys.executable, script, "--vocoder", "griffinlim", "--out", tmp_path], check=True)
    for name, (source, _) in runpy.run_path(str(script))["DIRECTIONS"].items():
        converted = soundfile.info(tmp_path / "converted" / f"{name}.flac")
        assert abs(converted.duration - soundfile.info(ROOT / "recipes/demo" / source).duration) < 0.001
    with Image.open(tmp_path / "mels.png") as picture:
        assert picture.width > 1000
    done = subprocess.run(
        [sys.executable, script, "--model", "none"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
