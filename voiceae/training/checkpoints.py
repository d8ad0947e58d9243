"""Checkpoints to resume from and, with each, the model as a file that can be used at once."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, Trainer

from voiceae.errors import ConfigError, OutputError
from voiceae.io.filesystem import atomic_path
from voiceae.training.reporting import diverged
from voiceae.training.settings import BEST, LAST

if TYPE_CHECKING:
    from voiceae.training.module import TrainingModule
    from voiceae.training.provenance import Exporter


class Checkpoints(Callback):
    """Keeps `last.ckpt` (by steps, by minutes and at the end) and `best.ckpt` (lowest valid/total of the last stage).

    Where a validation follows a step, the checkpoint waits for it: a resumed run repeats and skips none.

    Args:
        folder: of the checkpoints.
        exporter: writes the model file beside every `last.ckpt`.
        every_steps: None: not by steps.
        every_minutes: None: not by time.
    """

    def __init__(
        self, folder: Path, exporter: Exporter, every_steps: int | None, every_minutes: float | None
    ) -> None:
        self.folder, self.exporter = folder, exporter
        self.every_steps = every_steps
        self.every_seconds = math.inf if every_minutes is None else 60 * every_minutes
        self.best, self.stage = math.inf, ""
        self.saved_step, self.saved_at = 0, time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The figure to beat."""
        return {"best": self.best, "stage": self.stage}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self.best, self.stage = state_dict["best"], state_dict.get("stage", "")

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Start counting; what a run that was killed while it saved did not get to is due at the end."""
        complete = (self.folder / LAST).is_file() and self.exporter.is_current(pl_module)
        complete = trainer.strategy.broadcast(complete)  # on other nodes there may be no such folder
        self.saved_step, self.saved_at = pl_module.step if complete else 0, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_: Any) -> None:  # type: ignore[override]
        """Save when due, unless a validation comes first."""
        if not pl_module.validates_now() and self.is_due(pl_module):
            self.save_last(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Save when due or better than ever."""
        if pl_module.stage.name != self.stage:  # whose losses do not compare with those before
            self.best, self.stage = math.inf, pl_module.stage.name
        better = pl_module.figures["valid/total"] < self.best
        if better:
            self.best = pl_module.figures["valid/total"]
            self.save(trainer, self.folder / BEST)
        if self.is_due(pl_module):
            self.save_last(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Save what is new."""
        if pl_module.step > self.saved_step:
            self.save_last(trainer, pl_module)

    def is_due(self, module: TrainingModule) -> bool:
        """Whether to save after the step just done."""
        by_steps = self.every_steps is not None and module.step % self.every_steps == 0
        by_time = module.agree(time.monotonic() - self.saved_at >= self.every_seconds)
        return by_steps or by_time

    def save_last(self, trainer: Trainer, module: TrainingModule) -> None:
        """Checkpoint and model file.

        Raises:
            TrainingError: when a weight is not finite: what was saved before is worth more.
            OutputError: when they cannot be written.
        """
        if not all(bool(weight.isfinite().all()) for weight in module.objective.parameters()):
            raise diverged("weights", module)
        self.save(trainer, self.folder / LAST)
        if trainer.is_global_zero:
            self.exporter.export(module)
        self.saved_step, self.saved_at = module.step, time.monotonic()

    def save(self, trainer: Trainer, path: Path) -> None:
        """Checkpoint under its name only when complete; every process takes part.

        Raises:
            OutputError: when it cannot be written; the one before it stays.
        """
        if not trainer.is_global_zero:
            trainer.save_checkpoint(path)  # gathers and waits; the first process writes
            return
        try:
            with atomic_path(path) as temporary:
                trainer.save_checkpoint(temporary)
        except (RuntimeError, OSError) as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error


def require_fitting(path: Path, module: TrainingModule) -> None:
    """Refuse a checkpoint that a module cannot go on from.

    Raises:
        ConfigError: when it is damaged, is no checkpoint of a training, holds another model, or was trained with
            another seed, store, batch size or optimiser.
    """
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        weights, _ = kept["state_dict"], kept["voiceae"]["step"]
        theirs = {name: value.shape for name, value in weights.items()}
        lasting = dict(kept["voiceae"].get("lasting", module.lasting))  # earlier checkpoints do not say
        require_stage(path, module, kept["voiceae"])
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
    ):
        raise ConfigError(
            f"trainer.resume: {path}: is damaged, or is no checkpoint of a training; train anew into another out"
        ) from None
    ours = {name: value.shape for name, value in module.state_dict().items()}
    odd = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    if odd:
        raise ConfigError(
            f"trainer.resume: {path}: is of another model than the config describes ({odd[0]}); "
            "give the settings that it was trained with, or another out"
        )
    for name, value in module.lasting.items():
        if lasting.get(name, value) != value:
            what = f"{name} (fingerprint)" if name == "data.store" else name
            raise ConfigError(
                f"trainer.resume: {path}: was trained with {what} {lasting[name]}, the config has {value}; "
                "give the settings that it was trained with, or another out"
            )


def require_stage(path: Path, module: TrainingModule, kept: Mapping[str, Any]) -> None:
    """Refuse a checkpoint from a stage that the config has changed since.

    Raises:
        ConfigError: when the stage that the checkpoint's last step belongs to has another name, start or parts.
    """
    ours = module.plan.at(max(0, kept["step"] - 1)).identity
    theirs = kept.get("stage", ours)  # earlier checkpoints do not say
    odd = [name for name, value in ours.items() if theirs.get(name) != value]
    if odd:
        raise ConfigError(
            f"trainer.resume: {path}: was trained in a stage with {odd[0]} {theirs.get(odd[0])}, trainer.stages has "
            f"{ours[odd[0]]} at step {kept['step']}; give the stages that it was trained with, or another out"
        )
