"""Put the newest averaged weights of a training where they outlast its machine, again and again until it has ended.

    python publish.py LEGS OUT [--every 60]

LEGS is where recipes/common/legs.py trains. OUT gets model.safetensors and vocoder.safetensors in half precision, in
parts of at most 15 MiB (`NAME.0`, `NAME.1`, ...: recipes/common/parts.py joins them), and metrics.jsonl, the log of all
legs; each replaces the one before. It ends when LEGS/ended is there or the script that started it is gone, after a last
look. OUT is a start for later legs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

PARENT = os.getppid()  # known before the imports that take seconds
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "common")]

from parts import MIB, split  # noqa: E402  # in recipes/common
from ship import write_half  # noqa: E402  # beside this file

from voiceae.errors import ModelFileError  # noqa: E402

LEGS = {
    "model": ("speaker", "base", "vctk", "vctk_mini", "base_gan"),
    "vocoder": ("vocoder", "vocoder_gan"),
}
"""Runs whose weights each file holds: those of the last of them that is there."""
MOST_BYTES, MOST_FILES = 64 * MIB, 8
ENDED = "ended"


class Publisher:
    """What was published last, so that nothing is written twice.

    Args:
        legs: folder of the run folders.
        out: folder that is filled.
    """

    def __init__(self, legs: Path, out: Path) -> None:
        self.legs, self.out, self.written = legs, out, {}

    def publish(self) -> None:
        """Bring `out` up to date, and refuse to let it grow beyond its limits."""
        self.out.mkdir(parents=True, exist_ok=True)
        for name, runs in LEGS.items():
            there = [path for run in runs if (path := self.legs / run / "model.safetensors").is_file()]
            if there:
                self.publish_weights(name, there[-1])
        log = self.out / "metrics.jsonl"
        log.with_suffix(".tmp").write_text("".join(f"{line}\n" for line in self.lines()))
        log.with_suffix(".tmp").replace(log)
        files = [path for path in self.out.iterdir() if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if len(files) > MOST_FILES or size > MOST_BYTES:
            sys.exit(
                f"publish: error: {self.out}: {len(files)} files of {size} bytes; at most {MOST_FILES}, {MOST_BYTES}"
            )

    def publish_weights(self, name: str, path: Path) -> None:
        """Half precision, in parts, unless it is what was published before."""
        state = (path, path.stat().st_mtime_ns)
        if self.written.get(name) == state:
            return
        with tempfile.TemporaryDirectory() as folder:
            half = Path(folder) / f"{name}.safetensors"
            try:
                header = write_half(path, half)
            except ModelFileError as error:  # of a training that diverged: what was published stays
                print(f"publish: note: {error}", flush=True)
                return
            parts = split(half, self.out)
        self.written[name] = state
        print(
            f"published {name} of {path.parent.name} at step {header.extra['legs'][-1]['steps']}: {len(parts)} parts",
            flush=True,
        )

    def lines(self) -> list[str]:
        """The logs of all legs, each line with the leg's name."""
        found = []
        for run in (*LEGS["model"], *LEGS["vocoder"]):
            path = self.legs / run / "metrics.jsonl"
            rows = path.read_text().splitlines(keepends=True) if path.is_file() else []
            whole = [row for row in rows if row.endswith("}\n")]  # the last may be half-written
            found += [json.dumps({"leg": run, **json.loads(row)}) for row in whole]
        return found


def main() -> None:
    """Publish until the training has ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("legs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS")
    given = parser.parse_args()
    publisher, ended = Publisher(given.legs, given.out), given.legs / ENDED

    def is_over() -> bool:
        return ended.exists() or os.getppid() != PARENT

    over = False
    while not over:
        over = is_over()  # looked at first: what came before it is then published
        publisher.publish()
        due = time.monotonic() + given.every
        while not over and not is_over() and time.monotonic() < due:
            time.sleep(min(0.5, given.every))


if __name__ == "__main__":
    main()
