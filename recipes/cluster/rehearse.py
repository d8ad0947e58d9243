"""Rehearse a cluster on one machine: two processes, each a host with an address of its own (network namespaces).

    python recipes/cluster/rehearse.py --store STORE --out OUT            # two hosts; wants root
    python recipes/cluster/rehearse.py --store STORE --out OUT --one-host # two processes of one host

It trains a small model without noise three times and says whether
  1. two processes learn as one with the same batches together does (largest relative difference of every loss),
  2. a killed process brings all others down with an error, leaving none behind,
  3. the killed training, started again, ends where the undisturbed one did.
The hosts are joined by a virtual cable and see each other and nothing else; gloo is what they talk.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOSTS = {"voiceae-a": "10.77.0.1", "voiceae-b": "10.77.0.2"}
BATCH, STEPS = 16, 60
# No draw but that of the crops, which two processes share out, and no loss that compares the items of a batch, of which
# a process only sees its own: so the curves can be the same to rounding.
OVERRIDES = [
    *(
        "experiment=debug",
        "model/bottleneck=open",
        "~model.bottleneck.size",
        "loss.perturbed_share=0",
        "loss.weights.speaker=0",
    ),
    *(
        f"trainer.max_steps={STEPS}",
        "trainer.log_every=1",
        "trainer.validate_every=20",
        "trainer.picture_every=0",
        "trainer.validate_batches=1",
    ),
    *("trainer.checkpoint_steps=20", "optim.warmup_steps=0", "trainer.process_group_backend=gloo"),
    "trainer.precision=fp32",  # half precision rounds more than SAME
]
SAME = 1e-3
HANG_GUARD_SECONDS = 1200.0
FIGURES = ("total", "reconstruction", "gradient_norm", "valid/total")


def main() -> int:
    """Run all three; exit code 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True, help="a feature store")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder for the runs")
    parser.add_argument("--one-host", action="store_true", help="two processes of this host, no namespaces")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with two_hosts(not given.one_host) as hosts:
        return rehearse(hosts, given.store.resolve(), given.out.resolve())


def rehearse(hosts: Sequence[str], store: Path, out: Path) -> int:
    """Train, compare, kill, resume: exit code."""
    one = [
        sys.executable,
        "-m",
        "voiceae",
        "train",
        *settings(store, out / "one", BATCH),
        "trainer.threads=1",
    ]
    check(subprocess.run(one, env=environment(), check=False).returncode == 0, "one process trains")
    check(wait(launch(hosts, store, out / "two")) == [0] * len(hosts or [1]), "two processes train")
    apart = difference(out / "one", out / "two")
    check(apart < SAME, f"their losses agree: largest relative difference {apart:.1e} over {STEPS} steps")

    launched = launch(hosts, store, out / "killed")
    while len(losses(out / "killed")) < STEPS // 2 + 5:
        time.sleep(0.05)
        check(all(each.poll() is None for each in launched), "", quiet=True)
    victim = processes_of(out / "killed")[-1]
    os.kill(victim, signal.SIGKILL)
    started = time.monotonic()
    codes = wait(launched)
    check(all(codes), f"the others end with an error: {codes} after {time.monotonic() - started:.0f} s")
    check(not processes_of(out / "killed"), "no process is left")
    steps = sorted(losses(out / "killed"))
    check(
        wait(launch(hosts, store, out / "killed")) == [0] * len(hosts or [1]),
        f"killed after step {steps[-1]}, it goes on",
    )
    apart = difference(out / "two", out / "killed")
    check(apart < SAME, f"and ends where the other did: largest relative difference {apart:.1e}")
    return 0


def check(good: bool, what: str, quiet: bool = False) -> None:
    """Say it, or end here."""
    if not quiet or not good:
        print(f"{'ok' if good else 'FAILED'}: {what}", flush=True)
    if not good:
        sys.exit(1)


# ---- Starting trainings


@contextmanager
def two_hosts(wanted: bool) -> Iterator[list[str]]:
    """Two network namespaces joined by a virtual cable; their names, or none where they are not wanted."""
    if not wanted:
        yield []
        return
    names = list(HOSTS)
    remove_hosts(names)
    try:
        run("ip", "link", "add", "va0", "type", "veth", "peer", "name", "vb0")
        for name, device in zip(names, ("va0", "vb0"), strict=True):
            run("ip", "netns", "add", name)
            run("ip", "link", "set", device, "netns", name)
            run("ip", "-n", name, "addr", "add", f"{HOSTS[name]}/24", "dev", device)
            for each in ("lo", device):
                run("ip", "-n", name, "link", "set", each, "up")
        yield names
    finally:
        remove_hosts(names)


def remove_hosts(names: Sequence[str]) -> None:
    """Remove what there is of them; the cable goes with its ends."""
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    subprocess.run(["ip", "link", "delete", "va0"], capture_output=True, check=False)


def run(*command: str) -> None:
    """Run a command that must not fail."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(
        done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (namespaces want root)", quiet=True
    )


def settings(store: Path, out: Path, batch_size: int) -> list[str]:
    """Overrides of a training."""
    return [*OVERRIDES, f"data.store={store}", f"out={out}", f"data.batch_size={batch_size}"]


def launch(hosts: Sequence[str], store: Path, out: Path) -> list[subprocess.Popen[bytes]]:
    """Start the plain launcher on every host."""
    script, overrides = ["bash", str(HERE / "torchrun.sh")], settings(store, out, BATCH // 2)
    if not hosts:
        commands = [[*script, "--processes", "2", *overrides]]
    else:
        head = [*script, "--nodes", "2", "--head", HOSTS[hosts[0]]]
        commands = [
            ["ip", "netns", "exec", host, *head, "--node-rank", str(rank), "--interface", device, *overrides]
            for rank, (host, device) in enumerate(zip(hosts, ("va0", "vb0"), strict=True))
        ]
    return [subprocess.Popen(command, env=environment()) for command in commands]


def environment() -> dict[str, str]:
    """One thread a process, and no traces of an outer launcher."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def wait(launched: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Exit codes."""
    return [each.wait(timeout=HANG_GUARD_SECONDS) for each in launched]


def processes_of(out: Path) -> list[int]:
    """Processes of a training by their rank, last rank last."""
    ranked = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            variables = dict(
                each.partition(b"=")[::2] for each in (folder / "environ").read_bytes().split(b"\0")
            )
        except OSError:
            continue
        if (
            f"out={out}".encode() in command
            and b"RANK" in variables
            and b"torch.distributed.run" not in command
        ):
            ranked.append((int(variables[b"RANK"]), int(folder.name)))
    return [process for _, process in sorted(ranked)]


# ---- Comparing them


def losses(out: Path) -> dict[int, dict[str, float]]:
    """Losses of every step, and of the validation after it."""
    path = out / "metrics.jsonl"
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    found: dict[int, dict[str, float]] = {}
    for line in lines:
        figures = {name: value for name, value in line.items() if name in FIGURES}
        found.setdefault(line["step"], {}).update(figures)
    return found


def difference(one: Path, other: Path) -> float:
    """Largest relative difference of any loss at any step."""
    ours, theirs = losses(one), losses(other)
    check(
        sorted(ours) == sorted(theirs) == list(range(1, STEPS + 1)), "every step was written once", quiet=True
    )
    return max(
        abs(ours[step][name] - theirs[step][name]) / max(abs(ours[step][name]), 1e-6)
        for step in ours
        for name in ours[step]
    )


if __name__ == "__main__":
    sys.exit(main())
