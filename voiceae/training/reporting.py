"""What a training reports while it runs: metrics.jsonl, TensorBoard, a progress bar and warnings of collapse."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from voiceae.errors import OutputError, TrainingError
from voiceae.io.filesystem import atomic_path
from voiceae.models.bottlenecks import codebook_figures
from voiceae.models.discrete_bottlenecks import bit_figures
from voiceae.training.settings import LAST, Settings
from voiceae.training.throughput import Throughput
from voiceae.vocoders.load import load_vocoder

if TYPE_CHECKING:
    from voiceae.training.loop import Training

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
        """Add the values of one step to the sums."""
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
        """Forget the sums, and start a new window."""
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
N_EXAMPLES = 2


class Reporting:
    """Writes every loss, the learning rate, the gradient norm and the speed, averaged over `log_every` steps.

    Args:
        settings: of the training.
        throughput: what knows the share of the chip's peak, if anything does.
    """

    def __init__(self, settings: Settings, throughput: Throughput) -> None:
        self.settings, self.throughput = settings, throughput
        self.path = settings.out / METRICS
        self.writer: SummaryWriter | None = None
        self.bar: tqdm[Any] | None = None

    @contextmanager
    def opened(self, training: Training) -> Iterator[None]:
        """Hold the files open, without what a killed process wrote after its last checkpoint."""
        options = self.settings.trainer
        self.window_start, self.window_frames = time.monotonic(), training.frames
        if not training.fabric.is_global_zero:
            yield
            return
        cut_back(self.path, training.step)
        self.writer = SummaryWriter(self.path.parent / "tensorboard", purge_step=training.step + 1)
        self.bar = tqdm(
            total=options.max_steps,
            initial=training.step,
            unit="step",
            disable=not options.progress,
            dynamic_ncols=True,
        )
        try:
            yield
        finally:
            self.writer.close()
            self.bar.close()

    def after_step(self, training: Training) -> None:
        """Every `log_every` steps, and at the last: write the means since the last line.

        Raises:
            TrainingError: when a loss is not finite.
        """
        if self.bar is not None:
            self.bar.update()
        options = self.settings.trainer
        if training.step % options.log_every and training.step != options.max_steps:
            return
        means = summarise(training.meter.means(training.reduce), training.codes_per_second)
        training.meter.clear()
        seconds = max(1e-9, time.monotonic() - self.window_start)
        speed = (training.frames - self.window_frames) / seconds
        self.window_start, self.window_frames = time.monotonic(), training.frames
        about = {"frames_per_second": speed, "learning_rate": training.learning_rate}
        about |= self.throughput.rates(speed, training.fabric.world_size)
        if training.plan.has_stages:
            about["stage"] = training.stage.number
        self.write(training, {**about, **means})
        if self.bar is not None:
            self.bar.set_postfix(
                {"total": f"{means['total']:.4f}", "frames/s": f"{speed:,.0f}"}, refresh=False
            )
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise diverged(", ".join(bad), training)

    def after_validation(self, training: Training, seconds: float) -> None:
        """Write the figures, and warn when the bottleneck has collapsed.

        Args:
            training: with its figures.
            seconds: that the validation took, which do not count for the speed.
        """
        self.write(training, training.figures)
        if training.fabric.is_global_zero:
            for text in collapses(training.figures):
                warnings.warn(f"step {training.step}: {text}", stacklevel=1)
        self.window_start += seconds

    def write(self, training: Training, values: Mapping[str, float]) -> None:
        """Append values to metrics.jsonl and TensorBoard, in the first process only."""
        if self.writer is None:
            return
        counters = {"step": training.step, "frames": training.frames, "seconds": training.seconds}
        line = {name: round_to_digits(value) for name, value in {**counters, **values}.items()}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            for name, value in values.items():
                self.writer.add_scalar(name if "/" in name else f"train/{name}", value, training.step)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def draw_examples(self, training: Training) -> None:
        """Show in TensorBoard what the objective makes of a few validation crops: a picture and its sounds each.

        Drawn at the first validation after every `picture_every` steps.
        """
        options, step = self.settings.trainer, training.step
        every, since = options.picture_every, max(0, step - options.validate_every)
        if self.writer is None or not every or step // every == since // every:
            return
        batch = next(iter(training.valid.values())).batch(0)
        with torch.random.fork_rng(devices=[]):
            mels = training.objective.examples(batch, N_EXAMPLES)
        vocoder = load_vocoder(self.settings.vocoder.name, training.store.spec, "cpu")
        mels = {name: value.float().cpu() for name, value in mels.items()}
        for index in range(next(iter(mels.values())).shape[0]):
            rows = {name: mel[index] for name, mel in mels.items()}
            self.writer.add_image(f"mel/{index}", picture(list(rows.values())), step, dataformats="HWC")
            for name, mel in rows.items():
                wav = vocoder(mel[None])[0]
                wav = wav / wav.abs().max().clamp(min=1)
                self.writer.add_audio(f"{name}/{index}", wav, step, training.store.spec.sample_rate)


def picture(mels: list[Tensor]) -> Any:
    """Mels (M, T) one above the other, on the colour scale of the first: (height, T, 3) in 0..1."""
    low, high = mels[0].min(), mels[0].max()
    gap = torch.full((2, mels[0].shape[1]), 1.0)
    rows = [((mel - low) / (high - low).clamp(min=1e-6)).clamp(0, 1).flip(0) for mel in mels]
    stacked = torch.cat([part for row in rows for part in (row, gap)][:-1])
    return colormaps["magma"](stacked.numpy())[..., :3].astype(np.float32)


def diverged(what: str, training: Training) -> TrainingError:
    """The error for something that is not finite, with what there is to go on from."""
    settings = training.settings
    remedy = (
        "go on from the last checkpoint with trainer.resume=auto"
        if (settings.checkpoints / LAST).is_file()
        else "train anew into another out (no checkpoint was saved before)"
    )
    return TrainingError(f"{what} not finite at step {training.step}; lower optim.learning_rate and {remedy}")


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
    kept = []
    for line in path.read_text().splitlines():
        with suppress(ValueError, KeyError, TypeError):  # of a half-written line
            if float(json.loads(line)["step"]) <= step:
                kept.append(line)
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Lines of a metrics.jsonl, training and validation as they came."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def round_to_digits(value: float) -> float:
    """Nine significant digits, which hold a float32 exactly."""
    return float(f"{value:.9g}") if isinstance(value, float) else value
