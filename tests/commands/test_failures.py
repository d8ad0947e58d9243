"""One way to fail: every command, with what the file system refuses, ends in one line and exit code 1."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_model
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio

CHILD = """
import contextlib, importlib, io, json, os, pkgutil, sys, warnings
from pathlib import Path
import voiceae, voiceae.cli
for module in pkgutil.walk_packages(voiceae.__path__, "voiceae."):
    if "__main__" not in module.name:
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
import matplotlib.pyplot, hydra, joblib, librosa, safetensors.torch, scipy.signal, soxr, soundfile
import numpy as np
warnings.simplefilter("always")
warnings.showwarning = voiceae.cli._show_warning
folder, commands = Path(sys.argv[1]), json.loads(sys.stdin.read())
os.chdir(folder)
voiceae.cli.run(["convert", "a.wav", "--target", "b.wav", "--out", "o.wav", "--model", "m.safetensors",
    "--vocoder", "griffinlim"])  # imports what is imported late, as long as it may
os.unlink("o.wav")
for path in ("closed", "tree/closed"):
    os.chmod(path, 0)
if os.getuid() == 0:
    os.chown(folder, 65534, -1)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.environ.update(HOME=str(folder / "nowhere"), MPLCONFIGDIR=str(folder))
assert not os.access("closed", os.R_OK)
for command in commands:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = voiceae.cli.run(command)
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    lines = [line for line in said.getvalue().replace("\\r", "\\n").splitlines() if line.startswith("voiceae: ")]
    print(json.dumps([command, code, lines]))
"""
LONG = "y" * 300
MODEL = ["--model", "m.safetensors"]
VOICE = [*MODEL, "--vocoder", "griffinlim"]
BAD = ["closed/a.wav", f"{LONG}.wav", "gone/a.wav"]
REFUSED = [
    *(["convert", bad, "--target", "b.wav", "--out", "x.wav", *VOICE] for bad in BAD),
    *(["convert", "a.wav", "--target", bad, "--out", "x.wav", *VOICE] for bad in BAD),
    *(["convert", "a.wav", "--target", "b.wav", "--out", bad, *VOICE] for bad in BAD[:2]),
    ["convert", "closed", "--target", "b.wav", "--out-dir", "x", *VOICE],
    ["convert", "--pairs", "closed/p.csv", "--out-dir", "x", *VOICE],
    ["convert", "a.wav", "--target", "b.wav", "--out", "x.wav", "--model", "closed/m.safetensors"],
    ["convert", "a.wav", "--target", "b.wav", "--out", "x.wav", "--vocoder", "closed/v.safetensors", *MODEL],
    ["convert", "a.wav", "--target", "nobody", "--bank", "closed/b.npz", "--out", "x.wav", *VOICE],
    *(["embed", bad, "--out", "x.npz", *MODEL] for bad in (*BAD, "closed")),
    ["embed", "a.wav", "--out", "closed/x.npz", *MODEL],
    ["mix", "a.wav", "--speaker", "closed/a.wav:1", "--speaker", "b.wav:1", "--out", "x.wav", *VOICE],
    ["interpolate", "closed/a.wav", "b.wav", "--target", "b.wav", "--out", "x.wav", *VOICE],
    ["attribute", "fit", "--labels", "closed/t.csv", "--column", "g", "--out", "x.json", *MODEL],
    ["posterior", "fit", "--recordings", "closed", "--out", "x.safetensors", *MODEL],
    ["sample", "--from", "aggregated", "--out", "x", "--posterior", "closed/p.safetensors", *VOICE],
    ["units", "encode", "closed", "--out", "x.txt", *MODEL],
    ["units", "decode", "closed/u.txt", "--target", "b.wav", "--out", "x", *VOICE],
    ["speakers", "add", "ann", "closed/a.wav", "--bank", "x.npz", *MODEL],
    ["speakers", "add", "ann", "a.wav", "--bank", "closed/b.npz", *MODEL],
    ["speakers", "list", "--bank", "closed/b.npz", *MODEL],
    *(["info", bad] for bad in BAD),
    *(["prepare", "folder", bad, "--out", "x", "--jobs", "1"] for bad in ("closed", LONG, "gone")),
    ["prepare", "csv", "closed/t.csv", "--out", "x", "--jobs", "1"],
    ["prepare", "folder", "tree", "--out", "closed/s", "--jobs", "1"],
    ["train", "data.store=closed/s"],
    ["export", "closed/m.safetensors", "--out", "x"],
    ["vocoder", "import", "closed/g", "--out", "x.safetensors"],
    ["evaluate", "--corpus", "closed", "--kind", "folder", "--out", "x", "--scorers", "pitch", *VOICE],
    ["evaluate", "--compare", "closed/a.json", "closed/b.json"],
    ["diagnose", "m.safetensors", "--store", "closed/s"],
    ["curves", "closed/a", "--compare", "closed/b"],
]
DONE = {
    "x1": (["convert", "tree", "--target", "b.wav", "--out-dir", "x1", "--jobs", "1", *VOICE], 1),
    "x2.npz": (["embed", "tree", "--out", "x2.npz", *MODEL], 1),
    "x3.npz": (["speakers", "add", "ann", "tree", "--bank", "x3.npz", *MODEL], 1),
    "x4": (["prepare", "folder", "tree", "--out", "x4", "--jobs", "1", "--no-progress"], 0),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own, into which other users do not get."""
    path = Path(tempfile.mkdtemp(prefix="voiceae-test-"))
    path.chmod(0o755)
    rng = np.random.default_rng(0)
    for name in ("a.wav", "b.wav", "closed/a.wav", "tree/ann/1.wav", "tree/ben/1.wav", "tree/closed/1.wav"):
        audio_io.write(path / name, Audio(0.1 * rng.standard_normal(16000).astype(np.float32), 16000))
    write_model(path / "m.safetensors")
    yield path
    for closed in ("closed", "tree/closed"):
        (path / closed).chmod(0o755)
    shutil.rmtree(path)


def test_every_command_with_what_is_closed_too_long_or_gone(folder: Path) -> None:
    commands = [*REFUSED, *(command for command, _ in DONE.values())]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], input=json.dumps(commands), capture_output=True, text=True
    )
    results = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(results) == len(commands), child.stderr
    wrong = [
        result
        for result in results[: len(REFUSED)]
        if result[1] != 1
        or [line[:16] for line in result[2] if "warning: " not in line] != ["voiceae: error: "]
    ]
    assert not wrong, "\n".join(map(str, wrong))
    for (_, wanted), (command, code, lines) in zip(DONE.values(), results[len(REFUSED) :], strict=True):
        assert code == wanted and any(
            "tree/closed: closed (Permission denied)" in line
            or "1 closed (Permission denied): closed" in line
            for line in lines
        ), (command, code, lines)
    made = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {"x1/ann/1.wav", "x1/ben/1.wav", "x2.npz", "x3.npz", "x4/store.json"} <= made
    assert not {name for name in made if name.startswith("x.") or name == "x"}, (
        "nothing is left of what failed"
    )
    assert "closed,not used: closed (Permission denied)" in (folder / "x4/report.csv").read_text()
