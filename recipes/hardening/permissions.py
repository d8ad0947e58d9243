"""Folders and files without access, as an ordinary user meets them.

    python recipes/hardening/permissions.py --out OUT

Every command is given a closed folder or file in every place that takes one. To the administrator nothing is closed, so
the commands run without the two capabilities that open everything. A command must end with status 1 and one line; where
only a part of many is closed, the others must be done. OUT/permissions.json lists what did not.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
A, B = (str(ROOT / "recipes/demo/clips" / name) for name in ("slt_1.flac", "rms_1.flac"))
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h
HANG_SECONDS = 1800  # a guard against waiting for ever, not a limit on speed


@dataclass(frozen=True)
class Case:
    """A command with a closed place in it.

    Attributes:
        arguments: of `voiceae`; `{closed}` is a folder that nobody may enter, `{file}` a file that nobody may read.
        done: a result that must be there all the same.
    """

    arguments: str
    done: str = ""


CASES = [
    Case("convert {closed}/a.flac --target {b} --out o.wav"),
    Case("convert {file} --target {b} --out o.wav"),
    Case("convert {a} --target {closed}/b.flac --out o.wav"),
    Case("convert {a} --target {file} --out o.wav"),
    Case("convert {a} --target {closed}/s.npz:bob --out o.wav"),
    Case("convert {a} --target {b} --out {closed}/o.wav"),
    Case("convert {a} --target {b} --out {closed}/deeper/o.wav"),
    Case("convert {a} --target {b} --out o.wav --model {closed}/m.safetensors"),
    Case("convert {a} --target {b} --out o.wav --model {file}"),
    Case("convert {a} --target {b} --out o.wav --vocoder {closed}/v.safetensors"),
    Case("convert {a} --target {b} --out o.wav --add {closed}/x.json:+0.5"),
    Case("convert {closed} --target {b} --out-dir o"),
    Case("convert {some} --target {b} --out-dir o", "o/ann/a.flac"),
    Case("convert {some} --target {b} --out-dir {closed}/o"),
    Case("convert --pairs {closed}/p.csv --out-dir o"),
    Case("convert --pairs {pairs} --out-dir o", "o/good.wav"),
    Case("embed {closed} --out e.npz"),
    Case("embed {some} --out e.npz", "e.npz"),
    Case("embed {a} --out {closed}/e.npz"),
    Case("embed {a} {b} --out e.npz --plot {closed}/map.png"),
    Case("info {closed}/m.safetensors"),
    Case("info {file}"),
    Case("mix {a} --speaker {closed}/b.flac:0.5 --speaker {b}:0.5 --out o.wav"),
    Case("interpolate {a} {closed}/b.flac --out o.wav"),
    Case("attribute fit --labels {closed}/l.csv --column x --recordings {some} --out x.json"),
    Case("posterior fit --recordings {closed} --out p.safetensors"),
    Case("sample --from prior --out {closed}/samples --n 1"),
    Case("speakers add ann {a} --bank {closed}/bank.npz"),
    Case("speakers add ann {closed}/a.flac --bank bank.npz"),
    Case("speakers list --bank {closed}/bank.npz"),
    Case("prepare folder {closed} --out store"),
    Case("prepare folder {some} --out store --valid-speakers 0", "store/store.json"),
    Case("prepare folder {some} --out {closed}/store"),
    Case("prepare csv {closed}/c.csv --out store"),
    Case("train experiment=debug data.store={closed}/store"),
    Case("train experiment=debug data.store={store} out={closed}/run"),
    Case("train experiment=debug data.store={store} trainer.init_from={closed}/m.safetensors"),
    Case("vocoder import {closed}/g --out v.safetensors"),
    Case("export base --out {closed}/onnx"),
    Case("evaluate --model base --corpus {closed} --out report"),
    Case("diagnose base --store {closed}/store --out report"),
    Case("curves {closed}/metrics.jsonl --compare {closed}/other.jsonl"),
]


def make_places(work: Path) -> dict[str, str]:
    """Closed and open folders, a table of one good pair and one closed one, and a small store."""
    some, closed, file = work / "some", work / "closed", work / "file.flac"
    for name in ("ann", "ben", "locked"):
        (some / name).mkdir(parents=True)
        shutil.copy(A if name == "ann" else B, some / name / "a.flac")
    shutil.copy(B, some / "ben" / "unreadable.flac")
    shutil.copy(B, file)
    closed.mkdir()
    pairs = work / "pairs.csv"
    pairs.write_text(f"source,target,out\n{closed}/a.flac,{B},bad.wav\n{A},{B},good.wav\n")
    store = work / "whole-store"
    arguments = ["prepare", "folder", str(some), "--out", str(store), "--valid-speakers", "0"]
    subprocess.run([sys.executable, "-m", "voiceae", *arguments], cwd=ROOT, check=True, capture_output=True)
    for path in (closed, file, some / "locked", some / "ben" / "unreadable.flac"):
        path.chmod(0)
    places = {"a": A, "b": B, "closed": closed, "file": file, "some": some, "pairs": pairs, "store": store}
    return {name: str(place) for name, place in places.items()}


def give_up_privileges() -> None:
    """Let permissions count, for whoever runs this: the administrator's programs lose what overrides them."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def fault_of(case: Case, places: dict[str, str], folder: Path) -> str:
    """What is wrong with how a command ended; "" for nothing."""
    folder.mkdir()
    arguments = [each.format(**places) for each in case.arguments.split()]
    done = subprocess.run(
        [sys.executable, "-m", "voiceae", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=HANG_SECONDS,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HYDRA_FULL_ERROR": "0"},
        preexec_fn=give_up_privileges,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("voiceae: error:")]
    if "Traceback" in done.stderr:
        return f"traceback: {done.stderr[-300:]}"
    if case.done and not (folder / case.done).exists():
        return f"{case.done} is missing: {done.stderr[-300:]}"
    if case.done:
        said = done.stdout + done.stderr
        return (
            ""
            if any(word in said for word in ("locked", "unreadable", "closed"))
            else f"says nothing of it: {said[-300:]}"
        )
    if done.returncode != 1 or len(lines) != 1:
        return f"status {done.returncode}: {done.stderr[-300:]}"
    left = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    return f"left {left}" if left else ""


def main() -> int:
    """Arguments, and the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--every", type=int, default=1, help="only every so many cases")
    options = parser.parse_args()
    work = options.out.resolve() / "work"
    if work.exists():
        subprocess.run(["chmod", "-R", "u+rwX", str(work)], check=True)
        shutil.rmtree(work)
    work.mkdir(parents=True)
    places = make_places(work)
    wrong = {}
    cases = CASES[:: options.every]
    for number, case in enumerate(cases):
        if problem := fault_of(case, places, work / f"case{number}"):
            wrong[case.arguments] = problem.replace(str(work), "WORK")
    report = {"cases": len(cases), "wrong": wrong}
    (options.out / "permissions.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"closed: {len(cases)} cases, {len(wrong)} wrong")
    subprocess.run(["chmod", "-R", "u+rwX", str(work)], check=True)
    shutil.rmtree(work)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
