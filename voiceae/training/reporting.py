"""What a training tells while it runs: metrics.jsonl, TensorBoard, a bar and warnings of collapse."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from voiceae.errors import OutputError, TrainingError
from voiceae.io.filesystem import atomic_path
from voiceae.models.bottlenecks import codebook_figures
from voiceae.models.discrete_bottlenecks import bit_figures
from voiceae.training.settings import LAST

if TYPE_CHECKING:
    from voiceae.training.module import TrainingModule
    from voiceae.training.throughput import Throughput

WHOLE = {"usage": codebook_figures, "bit_share": bit_figures}
"""What a window's bits are made of, by the name of the vector that is averaged over it."""
ACTIVE_NATS = 0.01  # a dimension with less KL carries nothing (Burda et al. 2016 call it inactive)


class RunningMeans:
    """Sums of named scalars and vectors; adding never waits for the device, reading does so once."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one step's values."""
        for name, value in values.items():
            total = self.sums.get(name)
            self.sums[name] = value.detach().float().clone() if total is None else total.add_(value.detach())
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Mean of every value since the last `clear`, on the CPU.

        Args:
            reduce: averages a tensor over the processes of the training.
        """
        if not self.sums:
            return {}
        names = sorted(self.sums)
        means = [self.sums[name] / self.counts[name] for name in names]
        flat = reduce(torch.cat([mean.flatten() for mean in means])).cpu()
        parts = flat.split([mean.numel() for mean in means])
        return {name: part.view(mean.shape) for name, mean, part in zip(names, means, parts, strict=True)}

    def clear(self) -> None:
        """Start a new window."""
        self.sums, self.counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint in the middle of a window has to keep."""
        return {"sums": {name: value.cpu() for name, value in self.sums.items()}, "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on with a window."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.counts = dict(state["counts"])


def summarise(means: Mapping[str, Tensor], codes_per_second: float) -> dict[str, float]:
    """Figures to write from means of a window.

    How often each code was used (`usage`, (K,)) becomes the perplexity and the bits of the window, which a mean of
    every batch's own figures would understate; how often each bit was 1 (`bit_share`, (D,)) becomes its bits; the KL
    of every dimension (`kl_per_dim`, (D,)) the number of dimensions in use.

    Args:
        means: by name.
        codes_per_second: rate of the bottleneck.
    """
    figures = {name: float(mean) for name, mean in means.items() if mean.ndim == 0}
    for name, mean in means.items():
        prefix, _, last = name.rpartition("/")
        prefix += "/" if prefix else ""
        if last in WHOLE:
            whole = {key: float(value) for key, value in WHOLE[last](mean).items()}
            whole["bits_per_second"] = whole["bits_per_frame"] * codes_per_second
            figures |= {prefix + key: value for key, value in whole.items()}
        elif last == "kl_per_dim":
            figures[f"{prefix}kl_active_dims"] = float((mean > ACTIVE_NATS).sum())
    return figures


METRICS = "metrics.jsonl"
VANISHED_NATS = 0.05  # per code frame; phone identity alone is about 2 to 3
DEAD_PERPLEXITY = 4.0  # codes in use; fewer than broad phone classes


class Reporting(Callback):
    """Writes every loss, the learning rate, the gradient norm and the speed, averaged over `log_every` steps.

    Args:
        out: folder of the run.
        log_every: steps between lines.
        progress: whether to draw a bar on standard error.
        work: what knows the share of the chip's peak, if anything does.
    """

    def __init__(self, out: Path, log_every: int, progress: bool, work: Throughput | None = None) -> None:
        self.path, self.log_every, self.progress = out / METRICS, log_every, progress
        self.work = work
        self.out = out
        self.writer: SummaryWriter | None = None
        self.bar: tqdm[Any] | None = None
        self.away = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Open the files, without what a killed process wrote after its last checkpoint."""
        self.window_start, self.window_frames = time.monotonic(), pl_module.frames
        if not trainer.is_global_zero:
            return
        cut_back(self.path, pl_module.step)
        self.writer = SummaryWriter(self.out / "tensorboard", purge_step=pl_module.step + 1)
        steps = pl_module.settings.trainer.max_steps
        self.bar = tqdm(
            total=steps, initial=pl_module.step, unit="step", disable=not self.progress, dynamic_ncols=True
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_: Any) -> None:  # type: ignore[override]
        """Every `log_every` steps, and at the last: read the meter and write a line."""
        if self.bar is not None:
            self.bar.update()
        if pl_module.step % self.log_every == 0 or pl_module.step == pl_module.settings.trainer.max_steps:
            self.flush(pl_module)

    def flush(self, module: TrainingModule) -> None:
        """Write the means since the last line.

        Raises:
            TrainingError: when a loss is not finite.
        """
        means = summarise(module.meter.means(module.reduce), module.codes_per_second)
        module.meter.clear()
        seconds = max(1e-9, time.monotonic() - self.window_start - self.away)
        speed = (module.frames - self.window_frames) / seconds
        self.window_start, self.window_frames, self.away = time.monotonic(), module.frames, 0.0
        about = {"frames_per_second": speed, "learning_rate": module.learning_rate}
        if self.work is not None:
            about |= self.work.rates(speed, module.trainer.world_size)
        if module.plan.has_stages:
            about["stage"] = module.stage.number
        self.write(module, {**about, **means})
        if self.bar is not None:
            self.bar.set_postfix(
                {"total": f"{means['total']:.4f}", "frames/s": f"{speed:,.0f}"}, refresh=False
            )
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise diverged(", ".join(bad), module)

    def write(self, module: TrainingModule, values: Mapping[str, float]) -> None:
        """Append values to metrics.jsonl and TensorBoard, in the first process only."""
        if self.writer is None:
            return
        counters = {"step": module.step, "frames": module.frames, "seconds": module.seconds}
        line = {name: round_to_digits(value) for name, value in {**counters, **values}.items()}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            for name, value in values.items():
                self.writer.add_scalar(name if "/" in name else f"train/{name}", value, module.step)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop the clock that speed is measured by."""
        self._validation_start = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Write the figures, and warn when the bottleneck has collapsed."""
        self.write(pl_module, pl_module.figures)
        if trainer.is_global_zero:
            for text in collapses(pl_module.figures):
                warnings.warn(f"step {pl_module.step}: {text}", stacklevel=1)
        self.away += time.monotonic() - self._validation_start

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Close the files."""
        if self.writer is not None:
            self.writer.close()
        if self.bar is not None:
            self.bar.close()


def diverged(what: str, module: TrainingModule) -> TrainingError:
    """The error for something that is not finite, with what there is to go on from."""
    settings = module.settings
    remedy = (
        "go on from the last checkpoint with trainer.resume=auto"
        if (settings.checkpoints / LAST).is_file()
        else "train anew into another out (no checkpoint was saved before)"
    )
    return TrainingError(f"{what} not finite at step {module.step}; lower optim.learning_rate and {remedy}")


def collapses(figures: Mapping[str, float]) -> list[str]:
    """One line for every sign in the validation figures that the bottleneck carries nothing."""
    lines = []
    for name, value in figures.items():
        if name.endswith("/kl_raw") and value < VANISHED_NATS:
            lines.append(
                f"{name} is {value:.3g} nats per code frame: the KL has vanished and the code carries "
                "nothing; lower its weight, warm it up more slowly or give it free bits"
            )
        if name.endswith("/perplexity") and value < DEAD_PERPLEXITY:
            lines.append(
                f"{name} is {value:.3g}: the codebook has died; lower the learning rate or revive codes"
            )
    return lines


def cut_back(path: Path, step: int) -> None:
    """Drop the lines of metrics.jsonl after a step, and a half-written last one."""
    if not path.is_file():
        return
    kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Lines of a metrics.jsonl, training and validation as they came."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def round_to_digits(value: float) -> float:
    """Nine significant digits, which hold a float32 exactly."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
