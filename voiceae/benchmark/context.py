"""What every stage measures with: the voice, clips, a corpus, and timings beside the machine's own rate."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from voiceae.benchmark.measuring import RUNS, Figure, Timing, gflops, interleaved, matrix_product, speechlike
from voiceae.conversion.voice import Voice, load
from voiceae.errors import ConfigError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.vocoders.base import GRIFFIN_LIM

CLIP_SECONDS = 5.0
YARDSTICK = "product"
_SPEAKERS, _CLIPS = 8, 12


@dataclass
class Bench:
    """What the figures are measured with.

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
        """The model with Griffin-Lim."""
        return load(self.model, GRIFFIN_LIM, "cpu")

    @cached_property
    def own_voice(self) -> Voice | None:
        """The model with the vocoder that comes with it; None where that is Griffin-Lim."""
        voice = load(self.model, "default", "cpu")
        return None if voice.vocoder.name == GRIFFIN_LIM else voice

    def clip(self, seconds: float, seed: int = 0) -> Audio:
        """A clip at the model's rate."""
        rate = self.voice.spec.sample_rate
        return Audio(wav=speechlike(seconds, rate, seed), sample_rate=rate)

    @cached_property
    def scratch(self) -> Path:
        """A folder until `close`."""
        return Path(self._kept.enter_context(tempfile.TemporaryDirectory(prefix="voiceae-bench-")))

    def written(self, seconds: float, seed: int = 0) -> Path:
        """A clip as a file."""
        path = self.scratch / f"clip-{seconds:g}-{seed}.wav"
        if not path.exists():
            audio_io.write(path, self.clip(seconds, seed))
        return path

    @cached_property
    def some_corpus(self) -> Path:
        """The corpus, or an invented one of some minutes."""
        if self.corpus is not None:
            return self.corpus
        for number in range(_SPEAKERS * _CLIPS):
            speaker, clip = divmod(number, _CLIPS)
            audio_io.write(
                self.scratch / f"corpus/s{speaker}/{clip}.wav", self.clip(3.0 + 0.2 * clip, number)
            )
        return self.scratch / "corpus"

    def close(self) -> None:
        """Remove what was written."""
        self._kept.close()

    def measure(
        self, tasks: Mapping[str, Callable[[], object]], runs: int | None = None
    ) -> tuple[dict[str, Timing], Timing]:
        """Timings of tasks in turn, and in turn with them the machine's own rate in GFLOP/s."""
        timings = interleaved({**tasks, YARDSTICK: matrix_product()}, runs or self.runs)
        return timings, gflops(timings.pop(YARDSTICK))


def at_least(
    name: str, value: Timing, bar: float, unit: str, note: str = "", machine: Timing | None = None
) -> Figure:
    """A figure that should be high."""
    return Figure(
        name=name, value=value.median, unit=unit, low=value.low, high=value.high, bar=f"at least {bar:,g}",
        reached=value.median >= bar, note=note, machine_gflops=machine.median if machine else None,
    )  # fmt: skip


def at_most(
    name: str, value: Timing, bar: float, unit: str, note: str = "", machine: Timing | None = None
) -> Figure:
    """A figure that should be low."""
    return Figure(
        name=name, value=value.median, unit=unit, low=value.low, high=value.high, bar=f"at most {bar:,g}",
        reached=value.median <= bar, note=note, machine_gflops=machine.median if machine else None,
    )  # fmt: skip


def plain(name: str, value: Timing, unit: str, note: str = "", machine: Timing | None = None) -> Figure:
    """A figure that nothing is asked of."""
    return Figure(
        name=name, value=value.median, unit=unit, low=value.low, high=value.high, note=note,
        machine_gflops=machine.median if machine else None,
    )  # fmt: skip


def skipped(name: str, reason: str) -> Figure:
    """A figure that would take minutes here and say nothing; not a failure."""
    return Figure(name=name, value=None, unit="", note=f"skipped: {reason}", skipped=True)


def once(value: float) -> Timing:
    """A single reading."""
    return Timing(value, value, value)


def over(numerator: Timing, denominator: Timing) -> Timing:
    """Ratio of two timings of the same run, with the widest spread that it may have."""
    return Timing(
        numerator.median / denominator.median,
        numerator.low / denominator.high,
        numerator.high / denominator.low,
    )


def rate(timing: Timing, amount: float) -> Timing:
    """Amount a second."""
    return Timing(amount / timing.median, amount / timing.high, amount / timing.low)


def command(*arguments: object, code: int = 0, env: Mapping[str, str] | None = None) -> None:
    """Run `voiceae` as a user does.

    Raises:
        ConfigError: when it ends with another exit code than wanted.
    """
    line = [sys.executable, "-m", "voiceae", *map(str, arguments)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    done = subprocess.run(line, capture_output=True, text=True, env=variables)
    if done.returncode != code:
        said = " ".join(done.stderr.split())[-200:]
        raise ConfigError(f"voiceae {arguments[0]}: exit code {done.returncode} instead of {code}: {said}")
