"""Kills at random moments: what was killed, started again, ends as if it had never been interrupted.

    python recipes/hardening/kill_and_resume.py prepare train convert --count 100 --out OUT

`prepare` fills a store with waves by two processes, `train` trains a toy with a checkpoint every third step, `convert`
converts a folder by two processes. Each is killed (SIGKILL; half of the time only the process that was started, not its
workers) after a random part of the time that it takes, then started again on what it left, until it has been killed
--count times. What counts as a failure:

    orphan      a worker that still runs 60 s after the process that started it was killed
    half        a file under its final name that is not whole
    different   a result that differs in a byte (of the training's log: in anything but its clocks) from that of an
                undisturbed run
    leftover    a file that an undisturbed run does not leave
    failed      the run that was started again did not end with status 0

OUT/kill_and_resume.json is rewritten after each round. The exit status is 1 where anything failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "recipes/demo/clips"
ORPHAN_SECONDS = 60
HANG_SECONDS = 1800  # a guard against waiting for ever, not a limit on speed
CLOCKS = ("seconds", "frames_per_second")


@dataclass
class Job:
    """A command that is killed.

    Attributes:
        name: of the command.
        arguments: of `voiceae`; they go on with what is there.
        result: the folder that it fills.
        digest: what a result file must be equal in: path -> digest.
    """

    name: str
    arguments: list[str]
    result: Path
    digest: Callable[[Path], str]


@dataclass
class Tally:
    """What happened to one command."""

    kills: int = 0
    finished: int = 0
    seconds_undisturbed: float = 0.0
    failures: list[str] = field(default_factory=list)


def bytes_digest(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_digest(path: Path) -> str:
    """Of a training's log without its clocks, and of its weights; "" for what names places or holds clocks."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return repr([{key: value for key, value in row.items() if key not in CLOCKS} for row in rows])
    if path.name != "model.safetensors":
        return ""
    weights = load_file(path)  # alone: the header tells how long the training took
    return hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest()


def make_corpus(folder: Path) -> Path:
    """Two speakers of eight clips of a second."""
    for clip in sorted(CLIPS.glob("*_1.flac")) + sorted(CLIPS.glob("*_2.flac")):
        wav, rate = soundfile.read(clip)
        speaker = folder / clip.stem.split("_")[0]
        speaker.mkdir(parents=True, exist_ok=True)
        for place in range(4):
            part = wav[place * len(wav) // 4 : (place + 1) * len(wav) // 4]
            soundfile.write(speaker / f"{clip.stem}_{place}.flac", part, rate)
    return folder


def jobs(work: Path) -> dict[str, Job]:
    """The commands, on data made from the demo's clips."""
    corpus = make_corpus(work / "corpus")
    store, prepared = work / "store", work / "prepared"
    folder = [
        "prepare",
        "folder",
        str(corpus),
        "--valid-speakers",
        "0",
        "--valid-utterances",
        "0.2",
        "--waves",
    ]
    voiceae([*folder, "--out", str(prepared), "--jobs", "1"]).wait()
    train = ["experiment=debug", f"data.store={prepared}", f"out={work / 'run'}", "trainer.resume=auto"]
    train += ["trainer.max_steps=30", "trainer.checkpoint_steps=3", "trainer.validate_every=10"]
    convert = [str(corpus), "--target", str(CLIPS / "rms_1.flac"), "--out-dir", str(work / "converted")]
    return {
        "prepare": Job("prepare", [*folder, "--out", str(store), "--jobs", "2"], store, bytes_digest),
        "train": Job("train", ["train", *train], work / "run", run_digest),
        "convert": Job(
            "convert", ["convert", *convert, "--jobs", "2", "--force"], work / "converted", bytes_digest
        ),
    }


def voiceae(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start a command in a process session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "voiceae", *arguments],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def alive(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(after_name[3]) == session and after_name[0] != "Z":
            found.append(int(entry.name))
    return found


def digests(job: Job) -> dict[str, str]:
    """All files of the result, hidden ones too, with what they must be equal in."""
    return {
        str(path.relative_to(job.result)): job.digest(path)
        for path in sorted(job.result.rglob("*"))
        if path.is_file() and "tensorboard" not in path.parts
    }


def kill_once(job: Job, seconds: float, only_parent: bool, tally: Tally) -> None:
    """Start the command, kill it after a while, and see that nothing of it goes on."""
    process = voiceae(job.arguments)
    try:
        process.wait(seconds)
        return  # it had ended before
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL) if only_parent else os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    tally.kills += 1
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := alive(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        tally.failures.append(f"orphan: process {pid} after kill {tally.kills}")
        os.kill(pid, signal.SIGKILL)


def compare(job: Job, expected: dict[str, str], tally: Tally, *, finished: bool) -> None:
    """Files under their final names are always whole; at the end there are exactly those of an undisturbed run."""
    got = digests(job)
    if finished:
        for name in sorted(expected.keys() - got.keys()):
            tally.failures.append(f"different: {name} is missing after kill {tally.kills}")
        for name in sorted(got.keys() - expected.keys()):
            tally.failures.append(f"leftover: {name} after kill {tally.kills}")
    kind = "different" if finished else "half"
    # While a training is not over, its log and its weights rightly differ from those at the end.
    for name in sorted(got.keys() & expected.keys()) if finished or job.name != "train" else ():
        if got[name] != expected[name]:
            tally.failures.append(f"{kind}: {name} after kill {tally.kills}")


def kill_repeatedly(job: Job, count: int, rng: np.random.Generator, save: Callable[[Tally], None]) -> Tally:
    """Kill one command `count` times, and compare each result with an undisturbed one."""
    tally = Tally()
    shutil.rmtree(job.result, ignore_errors=True)
    started = time.monotonic()
    assert voiceae(job.arguments).wait(HANG_SECONDS) == 0, f"{job.name} fails undisturbed"
    tally.seconds_undisturbed = round(time.monotonic() - started, 2)
    expected = digests(job)
    while tally.kills < count:
        shutil.rmtree(job.result, ignore_errors=True)
        # Up to four kills of one result, then it is let go on to its end.
        for _ in range(int(rng.integers(1, 5))):
            kill_once(job, rng.uniform(0, 1.1) * tally.seconds_undisturbed, rng.random() < 0.5, tally)
            compare(job, expected, tally, finished=False)
        if (status := voiceae(job.arguments).wait(HANG_SECONDS)) != 0:
            tally.failures.append(f"failed: status {status} after kill {tally.kills}")
        tally.finished += 1
        compare(job, expected, tally, finished=True)
        save(tally)
    return tally


def main() -> int:
    """Arguments, and the table of all commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="+", choices=["prepare", "train", "convert"])
    parser.add_argument("--count", type=int, default=100, help="kills of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    work = options.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    work = work.resolve()
    known = jobs(work)
    path = options.out / "kill_and_resume.json"
    report = json.loads(path.read_text()) if path.exists() else {}
    for name in options.commands:

        def save(tally: Tally, name: str = name) -> None:
            report[name] = vars(tally)
            path.write_text(json.dumps(report, indent=1) + "\n")

        tally = kill_repeatedly(known[name], options.count, np.random.default_rng(options.seed), save)
        print(
            f"{name}: {tally.kills} kills, {tally.finished} ends, {len(tally.failures)} failures", flush=True
        )
    shutil.rmtree(work)
    return 1 if any(report[name]["failures"] for name in options.commands) else 0


if __name__ == "__main__":
    sys.exit(main())
