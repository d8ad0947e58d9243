"""What becomes of a command and its processes when a signal ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_model
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.io.filesystem import atomic_path

HANG_GUARD_SECONDS = 900  # only for what never ends; a busy machine takes many times as long as a quiet one


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + HANG_GUARD_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Processes that a process started and that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def batch(folder: Path, jobs: int) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A batch that is at work and would be for long, and the folder of its results."""
    rng = np.random.default_rng(0)
    for number in range(2):
        audio_io.write(
            folder / f"{number}.wav", Audio(0.1 * rng.standard_normal(16000).astype(np.float32), 16000)
        )
    model, out = write_model(folder / "m.safetensors"), folder / "out"
    rows = [f"0.wav,1.wav,{number}.wav" for number in range(20_000)]
    (folder / "p.csv").write_text("\n".join(["source,target,out", *rows]) + "\n")
    command = [sys.executable, "-m", "voiceae", "convert", "--pairs", folder / "p.csv", "--out-dir", out]
    command += ["--model", model, "--vocoder", "griffinlim", "--jobs", str(jobs), "--device", "cpu"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        wait_for(lambda: running.poll() is not None or any(out.glob("*.wav")), "the first result")
        assert running.poll() is None
        yield running, out
    finally:
        running.kill()


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGTERM, 2), (signal.SIGINT, 2)])
def test_a_signal_ends_a_batch_and_leaves_nothing(tmp_path: Path, number: signal.Signals, jobs: int) -> None:
    with batch(tmp_path, jobs) as (running, out):
        workers = children(running.pid)
        running.send_signal(number)
        _, said = running.communicate(timeout=HANG_GUARD_SECONDS)
    assert running.returncode == 128 + number
    lines = [line for line in said.replace("\r", "\n").splitlines() if line and "convert:" not in line]
    assert lines in (
        [],
        ["voiceae: interrupted" if number == signal.SIGINT else f"voiceae: ended by {number.name}"],
    )
    wait_for(lambda: not any(map(lives, workers)), "the end of its processes")
    assert len(workers) >= jobs and not [path.name for path in out.glob(".*")]


def test_nothing_works_on_for_a_killed_batch(tmp_path: Path) -> None:
    with batch(tmp_path, 2) as (running, out):
        workers = children(running.pid)
        assert len(workers) >= 2
        running.kill()
        running.communicate()
    wait_for(lambda: not any(map(lives, workers)), "the end of its processes")
    (
        out / ".left-999999999-01234567.part.wav"
    ).touch()  # as a process leaves it that was killed within a file
    with atomic_path(out / "next.txt") as temporary:
        temporary.write_text("the next run")
    assert not [path.name for path in out.glob(".*")]


def test_processes_that_wait_for_work_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    code = "import joblib, os, time\nfrom pathlib import Path\n"
    code += "from voiceae.processes import parent_watch_options, watched_call\n"
    code += "def work(name):\n    Path(name).touch()\n    time.sleep(10_000)\n"
    code += "joblib.Parallel(3, **parent_watch_options())(watched_call(work, 'begun') for _ in range(1))\n"
    running = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    wait_for((tmp_path / "begun").exists, "the only piece of work")
    workers = children(running.pid)
    assert len(workers) >= 3
    running.kill()
    running.wait()
    wait_for(lambda: not any(map(lives, workers)), "the end of its processes")


def test_ignored_from_outside_stays_ignored() -> None:
    code = "import signal, sys; from voiceae.cli import run; import os\n"
    code += "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    code += "from voiceae.processes import signals_as_exceptions\n"
    code += "with signals_as_exceptions(): os.kill(os.getpid(), signal.SIGHUP)\nprint('goes on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"


def test_a_hangup_ends_as_a_termination_does() -> None:
    code = "import os, signal, sys\nfrom voiceae import cli\n"
    code += "cli.voiceae.invoke = lambda context: os.kill(os.getpid(), signal.SIGHUP)\nsys.exit(cli.run(['info']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGHUP, "voiceae: ended by SIGHUP\n")


def test_a_second_signal_kills() -> None:
    code = "import os, signal\nfrom voiceae.processes import Terminated, signals_as_exceptions\n"
    code += "with signals_as_exceptions():\n  try: os.kill(os.getpid(), signal.SIGTERM)\n"
    code += "  except Terminated: print('once', flush=True); os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "once\n") and os.name == "posix"
