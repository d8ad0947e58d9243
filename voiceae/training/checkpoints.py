"""Checkpoints to resume from, and the model as a file that can be used at once and tells where it is from."""

from __future__ import annotations

import hashlib
import math
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import voiceae
from voiceae.errors import ConfigError, OutputError, VoiceAEError
from voiceae.io import modelfile
from voiceae.io.filesystem import atomic_path
from voiceae.training.precision import DAMAGED
from voiceae.training.reporting import diverged
from voiceae.training.settings import BEST, LAST, Settings, without_paths

if TYPE_CHECKING:
    from voiceae.training.loop import Training

MODEL = "model.safetensors"


class Checkpoints:
    """Keeps `last.ckpt` (by steps, by minutes and at the end) and `best.ckpt` (lowest valid/total of the last stage).

    Args:
        settings: of the training.

    Attributes:
        waited: validations without a better figure, where early stopping counts them.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder, self.model_path = settings.checkpoints, settings.out / MODEL
        minutes = settings.trainer.checkpoint_minutes
        self.every_steps = settings.trainer.checkpoint_steps
        self.every_seconds = math.inf if minutes is None else 60 * minutes
        self.best, self.best_stage, self.waited = math.inf, "", 0
        self.saved_step, self.saved_at = 0, time.monotonic()

    def start(self, training: Training) -> None:
        """Start counting; what a run that was killed while it saved did not get to is due at the end."""
        complete = False
        with suppress(
            VoiceAEError, KeyError, IndexError, TypeError
        ):  # of a model file that is not there, or foreign
            legs = modelfile.read_header(self.model_path).extra["legs"]
            complete = (self.folder / LAST).is_file() and bool(legs[-1]["steps"] == training.step)
        complete = training.fabric.broadcast(complete)  # on other nodes there may be no such folder
        self.saved_step, self.saved_at = training.step if complete else 0, time.monotonic()

    def keep_best(self, training: Training) -> None:
        """Save what is better than ever in its stage, and count for early stopping how long nothing was."""
        if training.stage.name != self.best_stage:  # whose losses do not compare with those before
            self.best, self.best_stage = math.inf, training.stage.name
        total = training.figures["valid/total"]
        better = total < self.best
        counted = training.settings.trainer.early_stopping_patience is not None
        self.waited = self.waited + 1 if counted and not better else 0
        if better:
            self.best = total
            self.save(training, self.folder / BEST)

    def is_due(self, training: Training) -> bool:
        """Whether to save after the step just done."""
        by_steps = self.every_steps is not None and training.step % self.every_steps == 0
        by_time = training.agree(time.monotonic() - self.saved_at >= self.every_seconds)
        return by_steps or by_time

    def save_last(self, training: Training) -> None:
        """Checkpoint and model file.

        Raises:
            TrainingError: when a weight is not finite: what was saved before is worth more.
            OutputError: when they cannot be written.
        """
        if not all(bool(weight.isfinite().all()) for weight in training.objective.parameters()):
            raise diverged("weights", training)
        self.save(training, self.folder / LAST)
        if training.fabric.is_global_zero:
            with training.averages.in_place():  # the model file has the averaged weights
                modelfile.save(
                    self.model_path,
                    training.objective.model,
                    kind=training.objective.kind,
                    description=training.settings.model,
                    spec=training.store.spec,
                    extra=provenance(training),
                )
        self.saved_step, self.saved_at = training.step, time.monotonic()

    def save(self, training: Training, path: Path) -> None:
        """Checkpoint under its name only when complete, by the first process: all hold the same.

        Raises:
            OutputError: when it cannot be written; the one before it stays.
        """
        if training.fabric.is_global_zero:
            # All that changes while a training runs, and what it may not be resumed without.
            state = {
                "objective": training.objective.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in training.optimizers],
                "averages": [value.cpu() for value in training.averages.values],
                "step": training.step,
                "frames": training.frames,
                "seconds": training.seconds,
                "meter": training.meter.state_dict(),
                "figures": dict(training.figures),
                "best": {"total": self.best, "stage": self.best_stage, "waited": self.waited},
                "resume_identity": training.resume_identity,
                "precision": training.settings.trainer.precision,
                "stage": training.stage.identity,
            }
            try:
                with atomic_path(path) as temporary:
                    torch.save(state, temporary)
            except (RuntimeError, OSError) as error:
                raise OutputError(f"{path}: cannot be written: {error}") from error
        training.fabric.barrier()

    def load(self, path: Path, training: Training) -> dict[str, Any]:
        """Take weights and counters from a checkpoint: -> all of it, for what is only built after them."""
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        training.objective.load_state_dict(kept["objective"])
        training.step = training.first_step = kept["step"]
        training.frames, training.earlier_seconds = kept["frames"], kept["seconds"]
        training.meter.load_state_dict(kept["meter"], training.fabric.device)
        training.figures = kept["figures"]
        best = kept["best"]
        self.best, self.best_stage, self.waited = best["total"], best["stage"], best["waited"]
        return kept


def provenance(training: Training) -> dict[str, Any]:
    """Corpus, amount of training, validation figures, config and versions; totals count every leg.

    A leg is one training without interruption of its optimisers.
    """
    settings, store, device = training.settings, training.store, training.fabric.device
    processor = f"{device.type} ({platform.machine()})"
    leg = {
        "corpus": Path(settings.data.store).resolve().name,
        "store": training.resume_identity["data.store"],
        "speakers": len(store.speakers),
        "speaker_names": list(store.speakers),  # evaluation leaves them out
        "teachers": list(training.objective.teachers),  # evaluation marks their figures
        "steps": training.step,
        "frames": training.frames,
        "seconds": round(training.seconds, 1),
        "seed": settings.seed,
        "precision": settings.trainer.precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
        "processes": training.fabric.world_size,
    }
    legs = [*map(dict, training.earlier_legs), leg]
    return {
        "name": settings.name,
        "corpus": leg["corpus"],
        "store": leg["store"],
        **{name: sum(each[name] for each in legs) for name in ("steps", "frames", "seconds")},
        "seed": settings.seed,
        "legs": legs,
        "validation": dict(training.figures),
        "config": without_paths(settings.config),
        "versions": {
            "voiceae": voiceae.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def resume_identity(settings: Settings) -> dict[str, Any]:
    """What a training keeps from its first step to its last, by config key; the store by its fingerprint.

    Crops and noise are drawn by these, and an optimiser's memory serves no other kind.
    """
    digest = hashlib.sha256()
    for name in ("utterances.csv", "statistics.npz"):
        digest.update((Path(settings.data.store) / name).read_bytes())
    return {
        "seed": settings.seed,
        "data.store": digest.hexdigest()[:12],
        "data.batch_size": settings.data.batch_size,
        "optim.kind": settings.optim.kind,
    }


def require_fitting(path: Path, training: Training) -> None:
    """Refuse a checkpoint that a training cannot go on from.

    Raises:
        ConfigError: when it is damaged, is no checkpoint of a training, holds another model, or was trained with
            another seed, store, batch size or optimiser, or in a stage that the config has changed since.
    """
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        theirs = {name: value.shape for name, value in kept["objective"].items()}
        identity, stage, step = dict(kept["resume_identity"]), dict(kept["stage"]), int(kept["step"])
    except DAMAGED:
        raise ConfigError(
            f"trainer.resume: {path}: is damaged, or is no checkpoint of a training; train anew into another out"
        ) from None
    own_stage = training.plan.at(max(0, step - 1)).identity
    for name, value in own_stage.items():
        if stage.get(name) != value:
            raise ConfigError(
                f"trainer.resume: {path}: was trained in a stage with {name} {stage.get(name)}, trainer.stages has "
                f"{value} at step {step}; give the stages that it was trained with, or another out"
            )
    ours = {name: value.shape for name, value in training.objective.state_dict().items()}
    remedy = "give the settings that it was trained with, or another out"
    odd = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    if odd:
        raise ConfigError(
            f"trainer.resume: {path}: is of another model than the config describes ({odd[0]}); {remedy}"
        )
    for name, value in training.resume_identity.items():
        if identity[name] != value:
            what = f"{name} (fingerprint)" if name == "data.store" else name
            raise ConfigError(
                f"trainer.resume: {path}: was trained with {what} {identity[name]}, the config has {value}; {remedy}"
            )
