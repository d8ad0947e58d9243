"""The training step as a LightningModule with manual optimisation; the loop around it is Lightning's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from voiceae.data.crops import Crops
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError, TrainingError
from voiceae.nn.layers import Scheduled, scheduled_modules
from voiceae.training.ema import Averages
from voiceae.training.objectives.base import Objective
from voiceae.training.optimizers import adamw, build_optimizers, learning_rate_factor, noise_seed
from voiceae.training.provenance import resume_identity
from voiceae.training.reporting import RunningMeans, summarise
from voiceae.training.settings import Settings
from voiceae.training.stages import Stage, trained_names

VALIDATION_SPLITS = ("valid_utterances", "valid_speakers")
VALIDATION_SEED = 0  # the same crops whatever the run's seed, so that runs can be compared


class TrainingModule(LightningModule):
    """Objective, optimisers, averaged weights and the project's own counters.

    Crops and noise are functions of (seed, step, rank), and the checkpoint holds all else that changes, so
    that a run that was killed goes on as if nothing had happened.

    Args:
        objective: what is minimised.
        store: features to draw crops from.
        settings: of the training.

    Attributes:
        ended_by: the signal that ended the training, if one did.
    """

    ended_by: int | None = None

    def __init__(self, objective: Objective, store: FeatureStore, settings: Settings) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective = objective
        self.store = store
        self.settings = settings
        self.lasting = resume_identity(settings)
        self.step, self.first_step, self.frames, self.earlier_seconds = 0, 0, 0, 0.0
        self.meter, self.valid_meter = RunningMeans(), RunningMeans()
        self.figures: dict[str, float] = {}
        self.gradient_clip = settings.optim.clip_norm or float("inf")
        self._started = time.monotonic()
        self._state: dict[str, Any] = {}
        self._main: list[torch.optim.Optimizer] = []
        self._adversarial: list[torch.optim.Optimizer] = []
        self._stepped: list[Scheduled] = scheduled_modules(objective)
        self._learners = {name for name, weight in objective.named_parameters() if weight.requires_grad}
        self.plan = settings.trainer.plan()
        for stage in self.plan:  # a slip in the last stage is told before the first
            self.enter(stage)
        self.let_learn(self._learners)  # all that ever learn, for DDP looks at them but once

    # What a process has once it knows its device.

    def setup(self, stage: str) -> None:
        """Put the crops on the device that trains."""
        self.crops = self.crops_of("train", self.settings.seed)
        splits = [split for split in VALIDATION_SPLITS if len(self.store.split(split))]
        self.valid = {split: self.crops_of(split, VALIDATION_SEED) for split in splits}
        self.generator = torch.Generator(self.trainer.strategy.root_device)

    def crops_of(self, split: str, seed: int) -> Crops:
        """Crops of a split, on the device that trains."""
        data = self.settings.data
        return self.objective.crops(
            self.store,
            split,
            batch_size=data.batch_size,
            crop_frames=data.crop_frames,
            reference_frames=data.reference_frames,
            seed=seed,
            device=self.trainer.strategy.root_device,
            resident=data.resident,
        )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Optimisers of the model and of the adversary, on weights that are already on their device."""
        self.enter(self.plan.at(self.step))
        self.build_optimizers()
        self.averages = Averages(self.objective.model, self.settings.trainer.ema_decay)
        if self._state:
            self._restore()
        return [*self._main, *self._adversarial]

    def enter(self, stage: Stage) -> None:
        """Go over to a stage: what learns, and from which losses.

        Raises:
            ConfigError: when the objective has no such part, loss or option, or nothing of the model would learn.
        """
        self.stage = stage
        self.let_learn(trained_names(self.objective, stage.settings) & self._learners)
        try:
            self.objective.enter(stage)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"trainer.stages: {stage.name}: {error}") from error
        theirs = {id(weight) for weight in adversary_of(self.objective).parameters()}
        learning = [weight for weight in self.objective.parameters() if weight.requires_grad]
        self._weights = [weight for weight in learning if id(weight) not in theirs]
        self._adversary_weights = [weight for weight in learning if id(weight) in theirs]
        if not self._weights:
            raise ConfigError(f"trainer.stages: {stage.name}: leaves nothing of the model to train")

    def let_learn(self, names: set[str]) -> None:
        """Freeze all weights but some."""
        for name, weight in self.objective.named_parameters():
            weight.requires_grad_(name in names)

    def build_optimizers(self) -> None:
        """Fresh optimisers of what learns in this stage."""
        optim, adversary = self.settings.optim, self._adversary_weights
        self._main = build_optimizers(self._weights, self.objective, optim)
        self._adversarial = [adamw(adversary, optim, optim.adversary_learning_rate)] if adversary else []

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    # Training.

    def train_dataloader(self) -> Steps:
        """Numbers of the steps up to the next validation."""
        return Steps(self)

    def training_step(self, batch: int, batch_idx: int) -> None:
        """One update of the model and, where there is one, of its adversary."""
        crops = self.crops.batch(self.step, self.global_rank, self.trainer.world_size)
        self.begin_step()

        result = self.objective(crops, step=self.step, generator=self.noise(self.step))
        require_learning(result.total, self.stage)
        self.manual_backward(result.total)
        norms = {"gradient_norm": self.update(self._main, self._weights)}
        for optimizer in self._adversarial:
            optimizer.zero_grad()  # of what the model's loss left in the adversary
            loss = self.objective.adversary_loss(crops, result)
            self.manual_backward(loss)
            norms["adversary"] = loss
            norms["adversary_gradient_norm"] = self.update(self._adversarial, self._adversary_weights)
        self.averages.update(self.step - self.stage.start)

        self.meter.add({**result.losses, **result.stats, **norms, "total": result.total})
        self.step += 1
        self.frames += crops.frames * self.trainer.world_size

    def begin_step(self) -> None:
        """The stage, the learning rates and what else goes by the coming step."""
        stage = self.plan.at(self.step)
        if stage != self.stage:
            self.enter(stage)
            self.build_optimizers()
            self.trainer.strategy.optimizers = [*self._main, *self._adversarial]  # what checkpoints keep
        self.set_learning_rates()
        for part in self._stepped:
            part.set_step(self.step)

    def update(self, optimizers: list[torch.optim.Optimizer], weights: list[nn.Parameter]) -> torch.Tensor:
        """Clip, step and forget the gradients: () norm before clipping."""
        norm = nn.utils.clip_grad_norm_(weights, self.gradient_clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return norm

    def noise(self, step: int, purpose: str = "train") -> torch.Generator:
        """Generator for one step; dropout, which takes none, draws from the global one seeded alike."""
        seed = noise_seed(self.settings.seed, step, self.global_rank, purpose)
        torch.manual_seed(seed)
        return self.generator.manual_seed(seed)

    def set_learning_rates(self) -> None:
        """Learning rates of the coming step."""
        optim = self.settings.optim
        factor = learning_rate_factor(self.step - self.stage.start, self.stage.steps, optim)
        for optimizers, rate in (
            (self._main, self.stage.settings.learning_rate or optim.learning_rate),
            (self._adversarial, optim.adversary_learning_rate),
        ):
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * factor

    @property
    def learning_rate(self) -> float:
        """Of the model, at the last step."""
        return float(self._main[0].param_groups[0]["lr"])

    @property
    def codes_per_second(self) -> float:
        """Rate of the bottleneck."""
        return self.store.spec.frame_rate / float(getattr(self.objective.model, "rate", 1))

    @property
    def seconds(self) -> float:
        """Wall time of the run, over all its processes one after another."""
        return self.earlier_seconds + time.monotonic() - self._started

    # Validation, with the averaged weights.

    def val_dataloader(self) -> list[range]:
        """Numbers of the batches of every validation split."""
        return [range(self.settings.trainer.validate_batches) for _ in self.valid]

    def on_validation_start(self) -> None:
        """Change to the averaged weights."""
        self.averages.swap()

    def validation_step(self, batch: int, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Losses of one batch of one split, under the final weights of the stage, so that they compare along it."""
        split, crops = list(self.valid.items())[dataloader_idx]
        result = self.objective(
            crops.batch(batch_idx, self.global_rank, self.trainer.world_size),
            step=self.stage.end,
            generator=self.noise(batch_idx, split),
        )
        losses = {**result.losses, **result.stats, "total": result.total}
        self.valid_meter.add({f"{split}/{name}": value for name, value in losses.items()})

    def on_validation_epoch_end(self) -> None:
        """Change back to the trained weights, and gather the figures."""
        self.averages.swap()
        self.figures = summarise(self.valid_meter.means(self.reduce), self.codes_per_second)
        self.valid_meter.clear()
        totals = [self.figures[f"{split}/total"] for split in self.valid]
        self.figures["valid/total"] = sum(totals) / len(totals)
        self.log("valid/total", self.figures["valid/total"], logger=False, rank_zero_only=False)

    def validates_now(self) -> bool:
        """Whether a validation follows the step just done."""
        at_end = self.trainer.should_stop or self.step >= self.settings.trainer.max_steps
        return self.has_validation and (at_end or self.step % self.settings.trainer.validate_every == 0)

    @property
    def has_validation(self) -> bool:
        """Whether there is anything to validate on."""
        return bool(self.valid) and self.settings.trainer.validate_batches > 0

    # Several processes.

    def reduce(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the processes of the training."""
        reduced = self.trainer.strategy.reduce(values, reduce_op="mean")
        assert isinstance(reduced, torch.Tensor)
        return reduced

    def agree(self, wish: bool) -> bool:
        """The first process's wish, known to all; several processes meet only every `log_every` steps."""
        if self.trainer.world_size == 1:
            return wish
        if self.step % self.settings.trainer.log_every:
            return False
        return bool(self.trainer.strategy.broadcast(wish))

    # Checkpoints.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add averages, counters, window and lasting settings to what Lightning keeps (weights, optimisers)."""
        checkpoint["voiceae"] = {
            "step": self.step,
            "frames": self.frames,
            "seconds": self.seconds,
            "averages": [value.cpu() for value in self.averages.values],
            "meter": self.meter.state_dict(),
            "figures": dict(self.figures),
            "lasting": self.lasting,
            "precision": self.settings.trainer.precision,
            "stage": self.stage.identity,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters; the loops' own counts are dropped, since `Steps` goes on from ours."""
        checkpoint.pop("loops", None)
        self._state = checkpoint["voiceae"]
        self.step, self.frames = self._state["step"], self._state["frames"]
        self.first_step = self.step
        self.earlier_seconds = self._state["seconds"]
        self.figures = self._state["figures"]
        if self.plan.begins_at(self.step):
            checkpoint["optimizer_states"] = []  # of the stage before; the coming one starts with fresh ones

    def _restore(self) -> None:
        self.averages.load(self._state["averages"])
        self.meter.load_state_dict(self._state["meter"], self.device)
        self._state = {}


class Steps:
    """Iterates over the steps up to the next validation; Lightning calls that an epoch."""

    def __init__(self, module: TrainingModule) -> None:
        self.module = module

    def __iter__(self) -> Iterator[int]:
        """Steps counted from 0."""
        trainer, step = self.module.settings.trainer, self.module.step
        end = (step // trainer.validate_every + 1) * trainer.validate_every
        return iter(range(step, min(end, trainer.max_steps)))


def adversary_of(objective: nn.Module) -> nn.Module:
    """The part of an objective that learns against the model; empty where there is none."""
    adversary = getattr(objective, "adversary", None)
    return adversary if isinstance(adversary, nn.Module) else nn.Module()


def require_learning(total: torch.Tensor, stage: Stage) -> None:
    """Refuse a loss that nothing can learn from.

    Raises:
        TrainingError: when no part that learns in the stage takes part in it.
    """
    if not total.requires_grad:
        raise TrainingError(
            f"trainer.stages: {stage.name}: no loss depends on what it trains; train other parts"
        )
