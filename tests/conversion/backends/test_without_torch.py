"""The path without torch, in a process where importing torch fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.exported import CLIPS
from voiceae.io.audio import read

HEAVY = (
    "torch",
    "torchaudio",
    "scipy",
    "librosa",
    "numba",
    "sklearn",
    "lightning_fabric",
    "matplotlib",
    "joblib",
)
CODE = f"""
import sys
from importlib.abc import MetaPathFinder

class Refusing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Refusing())
from voiceae.cli import run
code = run(sys.argv[1:])
assert not set(sys.modules) & set({HEAVY!r})
sys.exit(code)
"""


def voiceae(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    return voiceae("convert", *arguments)


@pytest.mark.parametrize("runtime", ["onnx", "auto"])
def test_one_recording(exported_model: Path, tmp_path: Path, runtime: str) -> None:
    out = tmp_path / "out.wav"
    wishes = ("--model", exported_model, "--runtime", runtime)
    done = convert(CLIPS[0], "--target", CLIPS[1], "--out", out, *wishes)
    assert done.returncode == 0, done.stderr
    assert read(out).seconds == pytest.approx(read(CLIPS[0]).seconds, abs=1e-3)


def test_a_table(exported_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(
        f"source,target,out\n{CLIPS[0].name},{CLIPS[1].name},a.wav\nmissing.wav,{CLIPS[1].name},b.wav\n"
    )
    wishes = ("--model", exported_model, "--jobs", 1)
    done = convert("--pairs", table, "--root", CLIPS[0].parent, "--out-dir", tmp_path / "out", *wishes)
    assert done.returncode == 1
    assert "missing.wav: no such file" in done.stderr and "1 of 2 pairs" in done.stderr
    assert read(tmp_path / "out" / "a.wav").seconds > 4


def test_what_torch_would_have_to_do_is_refused_in_one_line(exported_model: Path, tmp_path: Path) -> None:
    wishes = ("--model", exported_model, "--runtime", "torch")
    done = convert(CLIPS[0], "--target", CLIPS[1], "--out", tmp_path / "out.wav", *wishes)
    assert done.returncode == 1
    assert done.stderr.startswith("voiceae: error: runtime torch: torch is not installed")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("runtime", ["onnx", "auto"])
def test_griffin_lim_is_refused_in_one_line(exported_model: Path, tmp_path: Path, runtime: str) -> None:
    wishes = ("--model", exported_model, "--vocoder", "griffinlim", "--runtime", runtime)
    done = convert(CLIPS[0], "--target", CLIPS[1], "--out", tmp_path / "out.wav", *wishes)
    wanted = "voiceae: error: vocoder griffinlim needs torch: use --runtime torch, or another vocoder\n"
    assert (done.returncode, done.stderr) == (1, wanted)
    assert not (tmp_path / "out.wav").exists()


def test_a_command_that_needs_torch_says_so(tmp_path: Path) -> None:
    done = voiceae("embed", CLIPS[0], "--out", tmp_path / "e.npz")
    assert done.returncode == 1
    assert done.stderr == "voiceae: error: torch is not installed, and this needs it; pip install voiceae\n"
