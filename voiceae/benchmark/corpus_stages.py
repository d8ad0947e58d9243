"""Stages that go over many files: preparation, batches of conversions, training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from voiceae.assets import GRIFFIN_LIM
from voiceae.benchmark.measuring import (
    Bench,
    Figure,
    Timing,
    at_least,
    at_most,
    command,
    gflops,
    interleaved,
    matrix_product,
    over,
    plain,
    rate,
    skipped,
)
from voiceae.conversion.batch import BatchFolders, PairRow, VoiceLoader, convert_pairs
from voiceae.errors import ConfigError
from voiceae.hardware import available_cpus, bf16_support
from voiceae.io import audio as audio_io

PREPARED_FILES = 400  # some seconds of work, so that starting processes does not decide
_RATED_FILES = 256  # enough to know the rate by, however many --files says
_DIFFERENT = 32  # lengths
_WARM = 0.25  # share of a batch that is not counted: processes load the model, memory settles
_READINGS = 20  # of the memory along a batch, enough to fit a slope to
_ADAIN_FRAMES = 2137.0  # mel frames a second of the published AdaIN-VC in training, measured on one core
Item = TypeVar("Item")


def prepare(bench: Bench) -> list[Figure]:
    """`voiceae prepare` on some hundred files, by one process and by all."""
    from voiceae.data.corpora import list_recordings
    from voiceae.data.prepare import prepare as run

    recordings = list_recordings("folder", bench.corpus_folder)
    chosen = recordings[:: max(1, len(recordings) // PREPARED_FILES)]
    table = bench.scratch / "table.csv"
    rows = [f'"{each.path.resolve()}","{each.speaker}"' for each in chosen]
    table.write_text("\n".join(["path,speaker", *rows]) + "\n", encoding="utf-8")
    seconds = 0.0

    def prepare_by(jobs: int) -> None:
        nonlocal seconds
        seconds = run("csv", table, bench.scratch / f"store-{jobs}", jobs=jobs, force=True).seconds
        shutil.rmtree(bench.scratch / f"store-{jobs}")

    cores = available_cpus()
    timings, machine = bench.measure({str(jobs): partial(prepare_by, jobs) for jobs in {1, cores}})
    speeds = {jobs: rate(timing, seconds) for jobs, timing in timings.items()}
    note = f"{seconds:.0f} s of audio in {len(chosen)} files"
    figures = [at_least("prepare, one process", speeds["1"], 300, "s of audio a s", note, machine)]
    if cores > 1:
        note = f"{over(timings['1'], timings[str(cores)]).median:.2f} times one process"
        name, speed = f"prepare, {cores} processes", speeds[str(cores)]
        figures.append(plain(name, speed, "s of audio a s", note, machine))
    return figures


def batch(bench: Bench) -> list[Figure]:
    """Files a second of `voiceae convert FOLDER`, by one process and by all, and whether memory grows."""
    # Short sources of many lengths, used in turn.
    root, jobs = bench.scratch / "many", available_cpus()
    for number in range(min(bench.files, _DIFFERENT)):
        audio_io.write(root / f"{number}.wav", bench.clip(0.8 + 0.025 * number, number), force=True)
    count_rated = min(bench.files, _RATED_FILES)
    rated = [PairRow(0, f"{n % _DIFFERENT}.wav", ("0.wav",), f"{n}.wav") for n in range(count_rated)]
    rates: dict[int, list[float]] = {1: [], jobs: []}
    for _ in range(bench.runs):
        for count in rates:
            rates[count].append(_files_per_second(bench, root, rated, count))
    one, all_ = (Timing.of(rates[n]) for n in (1, jobs))
    figures = [plain("batch, one process", one, "files/s", f"{len(rated)} files of a second")]
    if jobs > 1:
        said = f"matrix products by {jobs} processes {scaling(jobs):.2f} times those by one"
        note = f"{all_.median:.1f} files/s; {said}"
        figures.append(at_least(f"batch, {jobs} processes", over(all_, one), 0.9 * jobs, "times one", note))
    # Resident memory at the end of a batch above that after its first quarter.
    arguments = [bench.model, GRIFFIN_LIM, root, bench.scratch / "batch", bench.files]
    line = [sys.executable, "-c", GROWTH, *map(str, arguments), str(max(1, bench.files // _READINGS))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"batch: {done.stderr.strip()[-200:]}")
    resident = [float(reading) for reading in done.stdout.split()]
    begin = resident[int(_WARM * len(resident))]
    note = f"{begin:.0f} MB after a quarter, {resident[-1]:.0f} MB at the end, {max(resident):.0f} MB at most"
    growth = Timing.of([resident[-1] - begin])
    return [*figures, at_most(f"memory growth over {bench.files} files", growth, 20, "MB", note)]


def _files_per_second(bench: Bench, root: Path, pairs: list[PairRow], jobs: int) -> float:
    """Without the time until every process has loaded the model."""
    times: list[float] = []

    def progress(results: Iterable[Item]) -> Iterator[Item]:
        for result in results:
            times.append(time.perf_counter())
            yield result

    folders = BatchFolders(root=root, out_dir=bench.scratch / "batch", force=True)
    loader = VoiceLoader(model=bench.model, vocoder=GRIFFIN_LIM, device="cpu")
    failures = convert_pairs(loader, folders, pairs, jobs=jobs, progress=progress)
    if failures:
        raise ConfigError(f"{failures[0].where}: {failures[0].reason}")
    first = int(_WARM * len(times))
    return (len(times) - 1 - first) / (times[-1] - times[first])


def scaling(processes: int, seconds: float = 2.0) -> float:
    """How much more matrix products several processes get done than one: what the machine itself gives."""
    code = (
        "import sys, time, torch\ntorch.set_num_threads(1)\na = torch.randn(512, 512)\na @ a\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        f"end, count = time.time() + {seconds}, 0\nwhile time.time() < end:\n    a @ a; count += 1\nprint(count)\n"
    )
    return sum(_counts(code, processes)) / sum(_counts(code, 1))


def _counts(code: str, processes: int) -> list[int]:
    line, pipe = [sys.executable, "-c", code], subprocess.PIPE
    running = [subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    for each in running:
        assert each.stdout is not None
        each.stdout.readline()
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    return [int(each.communicate()[0]) for each in running]


GROWTH = """
import sys
from pathlib import Path
from voiceae.conversion.batch import BatchFolders, PairRow, VoiceLoader, convert_pairs

model, vocoder, root, out, count, every = *sys.argv[1:5], *map(int, sys.argv[5:7])

def progress(results):
    for number, result in enumerate(results, 1):
        if result is not None:
            sys.exit(result.reason)
        if number % every == 0:
            print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20, flush=True)
        yield result

names = sorted(path.name for path in Path(root).glob("*.wav"))
targets = [(names[n // 7 % len(names)],) for n in range(count)]
pairs = [PairRow(0, names[n % len(names)], targets[n], f"{n}.wav") for n in range(count)]
folders = BatchFolders(root=Path(root), out_dir=Path(out), force=True)
convert_pairs(VoiceLoader(model=model, vocoder=vocoder, device="cpu"), folders, pairs, jobs=1, progress=progress)
"""
"""Prints the resident memory (MB) while it converts: model, vocoder, root, out_dir, files, files a reading."""


def train(bench: Bench) -> list[Figure]:
    """Training of the default model on the CPU, beside AdaIN-VC's mel frames a second on a core."""
    from voiceae.data.prepare import prepare as run

    store = bench.scratch / "trained-from"
    run("folder", bench.corpus_folder, store, jobs=1)
    machine = gflops(interleaved({"product": matrix_product()}, bench.runs)["product"])
    found, support = [], bf16_support("cpu")
    for precision, times in (("fp32", 2.0), ("bf16", 3.4)):
        title = f"training, 128 x 128 frames, {precision}"
        if precision == "bf16" and not support.native:
            found.append(skipped(title, support.reason))
            continue
        speed = _train(store, bench.scratch / precision, precision, bench.runs)
        note = f"{times:g} times AdaIN-VC's {_ADAIN_FRAMES:,.0f}"
        found.append(at_least(title, speed, times * _ADAIN_FRAMES, "frames/s", note, machine))
    return found


def _train(store: Path, out: Path, precision: str, runs: int) -> Timing:
    """Frames a second over windows of two steps, the first window left out."""
    overrides = {
        "data.store": store,
        "out": out,
        "trainer.precision": precision,
        "trainer.threads": 1,
        "trainer.max_steps": 2 * (runs + 1),
        "trainer.log_every": 2,  # the window of a reading
        "trainer.validate_every": 1000,
        "trainer.validate_batches": 0,
        "trainer.picture_every": 0,
    }
    command("train", *(f"{name}={value}" for name, value in overrides.items()))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    speeds = [float(line["frames_per_second"]) for line in lines if "frames_per_second" in line][1:]
    return Timing.of(speeds)
