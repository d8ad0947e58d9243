"""What every stage measures with: inputs, timings in turn beside the machine's own rate, memory, and figures."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voiceae.assets import GRIFFIN_LIM
from voiceae.conversion.voice import Voice, load
from voiceae.errors import ConfigError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio

CLIP_SECONDS = 5.0  # a sentence
YARDSTICK = "product"  # the matrix product that is timed in turn with every task
_SPEAKERS, _CLIPS = 8, 12  # of the synthetic corpus: seven minutes
RUNS = 7  # an odd number has a median among its readings


@dataclass(frozen=True)
class Timing:
    """Median and spread of several runs, in seconds or other units.

    Attributes:
        median: seconds.
        low: the fastest run.
        high: the slowest run.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Median, lowest and highest of some readings."""
        return cls(float(np.median(seconds)), min(seconds), max(seconds))

    def scaled(self, factor: float) -> Timing:
        """The same timing in other units."""
        return Timing(*(value * factor for value in (self.median, self.low, self.high)))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the benchmark's report.

    Attributes:
        name: what was measured.
        value: as measured.
        unit: of the value.
        low: the lowest reading.
        high: the highest reading.
        machine_gflops: the machine's own rate (`matrix_product`), taken in turn with the readings.
        threads: of torch.
        seconds: length of the source, where that is what figures differ in.
        bar: the target, in words.
        reached: whether it is met; None where there is no target, or nothing could be measured.
        note: other readings, or why there is no value.
        skipped: left out on purpose, as the note says; otherwise a figure without a value is a failure.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    machine_gflops: float | None = None
    threads: int = 1
    seconds: float | None = None
    bar: str = ""
    reached: bool | None = None
    note: str = ""
    skipped: bool = False


def interleaved(tasks: Mapping[str, Callable[[], object]], runs: int = RUNS) -> dict[str, Timing]:
    """Time tasks in turn, after an unmeasured round, so that a busy moment of the machine meets all alike.

    Every round has another order, for what ran before leaves its caches and its clock rate to what runs next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()  # libraries load and caches fill at the first call
    order, orders = list(tasks), random.Random(0)
    for _ in range(runs):
        orders.shuffle(order)
        for name in order:
            started = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - started)
    return {name: Timing.of(each) for name, each in seconds.items()}


def matrix_product(size: int = 1024, dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """Product of two square matrices, the machine's own measure: 2 size^3 operations."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))
    return lambda: a @ b


def gflops(timing: Timing, size: int = 1024) -> Timing:
    """Rate of `matrix_product` in 10^9 operations a second."""
    return rate(timing, 2e-9 * size**3)


def synthetic_speech(seconds: float, sample_rate: int, seed: int = 0) -> NDArray[np.float32]:
    """A buzz that glides in pitch and level, with a little noise: (N,). For speed only."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    # 130 Hz on average, 24 harmonics falling as 1/k, syllables at 2.3 Hz.
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * 0.7 * t)) / sample_rate
    buzz = sum(np.sin(k * phase + k) / k for k in range(1, 25))
    level = 0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * t)
    return (0.08 * level * buzz + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def peak_memory_mb(code: str) -> tuple[float, float]:
    """Run code in a process of its own: resident memory before its function `work` runs, and its peak, MB.

    Args:
        code: Python that loads what is needed and defines `work()`.

    Raises:
        RuntimeError: when it fails; its last words are in the message.
    """
    program = (
        f"{code}\n"
        "import pathlib\n"
        "def mb(key):\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(l.split()[1]) / 1024 for l in lines if l.startswith(key))\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5')\n"  # the peak is counted from here
        "before = mb('VmRSS')\nwork()\nprint(before, mb('VmHWM'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    before, peak = done.stdout.split()[-2:]
    return float(before), float(peak)


def plain(name: str, value: Timing, unit: str, note: str = "", machine: Timing | None = None) -> Figure:
    """A figure without a target."""
    return Figure(
        name=name, value=value.median, unit=unit, low=value.low, high=value.high, note=note,
        machine_gflops=machine.median if machine else None,
    )  # fmt: skip


def at_least(
    name: str, value: Timing, bar: float, unit: str, note: str = "", machine: Timing | None = None
) -> Figure:
    """A figure that should be high."""
    figure = plain(name, value, unit, note, machine)
    return replace(figure, bar=f"at least {bar:,g}", reached=value.median >= bar)


def at_most(
    name: str, value: Timing, bar: float, unit: str, note: str = "", machine: Timing | None = None
) -> Figure:
    """A figure that should be low."""
    figure = plain(name, value, unit, note, machine)
    return replace(figure, bar=f"at most {bar:,g}", reached=value.median <= bar)


def skipped(name: str, reason: str) -> Figure:
    """A figure that would take minutes here and say nothing; not a failure."""
    return Figure(name=name, value=None, unit="", note=f"skipped: {reason}", skipped=True)


def over(numerator: Timing, denominator: Timing) -> Timing:
    """Ratio of two timings of the same run, with the widest spread that it may have."""
    return Timing(
        numerator.median / denominator.median,
        numerator.low / denominator.high,
        numerator.high / denominator.low,
    )


def rate(timing: Timing, amount: float) -> Timing:
    """Amount a second, of an amount that took so long."""
    return Timing(amount / timing.median, amount / timing.high, amount / timing.low)


@dataclass
class Bench:
    """Inputs and settings that all stages measure with.

    Args:
        model: to convert with.
        corpus: folder of speakers to prepare; without one, an invented one.
        hifigan: a checkpoint, or None.
        runs: of every timing.
        lengths: seconds of the sources that are converted.
        files: of the batch.
    """

    model: str = "base"
    corpus: Path | None = None
    hifigan: Path | None = None
    runs: int = RUNS
    lengths: tuple[float, ...] = (5.0, 60.0)
    files: int = 64
    _kept: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def voice(self) -> Voice:
        """The model with the Griffin-Lim vocoder."""
        return load(self.model, GRIFFIN_LIM, "cpu")

    @cached_property
    def default_voice(self) -> Voice | None:
        """The model with the vocoder that comes with it; None where that is Griffin-Lim."""
        voice = load(self.model, "default", "cpu")
        return None if voice.vocoder.name == GRIFFIN_LIM else voice

    def clip(self, seconds: float, seed: int = 0) -> Audio:
        """Synthetic speech of some length at the model's rate."""
        rate = self.voice.spec.sample_rate
        return Audio(wav=synthetic_speech(seconds, rate, seed), sample_rate=rate)

    @cached_property
    def scratch(self) -> Path:
        """A temporary folder, kept until `close`."""
        return Path(self._kept.enter_context(tempfile.TemporaryDirectory(prefix="voiceae-bench-")))

    def written(self, seconds: float, seed: int = 0) -> Path:
        """Synthetic speech of some length as a WAV file."""
        path = self.scratch / f"clip-{seconds:g}-{seed}.wav"
        if not path.exists():
            audio_io.write(path, self.clip(seconds, seed))
        return path

    @cached_property
    def corpus_folder(self) -> Path:
        """The corpus that was given, or a synthetic one of some minutes."""
        if self.corpus is not None:
            return self.corpus
        for number in range(_SPEAKERS * _CLIPS):
            speaker, clip = divmod(number, _CLIPS)
            path = self.scratch / f"corpus/s{speaker}/{clip}.wav"
            audio_io.write(path, self.clip(3.0 + 0.2 * clip, number))
        return self.scratch / "corpus"

    def close(self) -> None:
        """Remove the temporary folder with all files."""
        self._kept.close()

    def measure(
        self, tasks: Mapping[str, Callable[[], object]], runs: int | None = None
    ) -> tuple[dict[str, Timing], Timing]:
        """Timings of tasks in turn, and in turn with them the machine's own rate in GFLOP/s."""
        timings = interleaved({**tasks, YARDSTICK: matrix_product()}, runs or self.runs)
        return timings, gflops(timings.pop(YARDSTICK))


def command(*arguments: object, code: int = 0, env: Mapping[str, str] | None = None) -> None:
    """Run `voiceae` as a user does.

    Raises:
        ConfigError: when it ends with another exit code than expected.
    """
    line = [sys.executable, "-m", "voiceae", *map(str, arguments)]
    # One thread, as all figures that are compared between machines.
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    done = subprocess.run(line, capture_output=True, text=True, env=variables)
    if done.returncode != code:
        said = " ".join(done.stderr.split())[-200:]
        raise ConfigError(f"voiceae {arguments[0]}: exit code {done.returncode} instead of {code}: {said}")
