"""The training loop, on one screen: `Training.run` and the step it repeats, `Training.train_step`.

Lightning Fabric finds the devices, starts the processes and averages gradients between them; the loop is our own, since
its two optimisers, its stages and its exact resuming are what a ready-made loop has to be talked out of.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from lightning_fabric import Fabric
from torch import nn

from voiceae.data.corpora import TRAIN
from voiceae.data.crops import CropSampler
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError, TrainingError
from voiceae.nn.layers import Scheduled, scheduled_modules
from voiceae.training.checkpoints import Checkpoints, resume_identity
from voiceae.training.objectives.base import Objective
from voiceae.training.optimizers import Averages, adamw, build_optimizers, learning_rate_factor, noise_seed
from voiceae.training.precision import shared_precision
from voiceae.training.reporting import Reporting, RunningMeans, summarise
from voiceae.training.settings import Settings
from voiceae.training.stages import Stage, trained_names
from voiceae.training.throughput import Throughput

VALIDATION_SPLITS = ("valid_utterances", "valid_speakers")
VALIDATION_SEED = 0  # the same crops whatever the run's seed, so that runs can be compared
# Windows has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


class Training:
    """A training in one process: the objective, its optimisers, averaged weights and counters.

    Crops and noise are functions of (seed, step, rank), and the checkpoint holds all else that changes, so
    that a run that was killed goes on as if nothing had happened.

    Args:
        objective: what is minimised.
        store: features to draw crops from.
        settings: of the training.
        fabric: the devices and processes.
        earlier_legs: what the model file that this training starts from says of the trainings behind it.

    Attributes:
        ended_by: the signal that ended the training, if one did.

    Raises:
        ConfigError: for a stage that the objective cannot be trained in.
    """

    ended_by: int | None = None

    def __init__(
        self,
        objective: Objective,
        store: FeatureStore,
        settings: Settings,
        fabric: Fabric,
        earlier_legs: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        self.objective, self.store, self.settings, self.fabric = objective, store, settings, fabric
        self.earlier_legs = earlier_legs
        self.resume_identity = resume_identity(settings)
        self.step, self.first_step, self.frames, self.earlier_seconds = 0, 0, 0, 0.0
        self.meter, self.valid_meter = RunningMeans(), RunningMeans()
        self.figures: dict[str, float] = {}
        self.created = self.started = time.monotonic()
        self.scheduled: list[Scheduled] = scheduled_modules(objective)
        self._learners = {name for name, weight in objective.named_parameters() if weight.requires_grad}
        self.plan = settings.trainer.plan()
        for stage in self.plan:  # a mistake in the last stage is refused before the first
            self.enter(stage)
        self.let_learn(self._learners)  # all that ever learn, for DDP looks at them but once
        self.throughput = Throughput(settings.trainer.compile, settings.trainer.compile_mode)
        self.reporting = Reporting(settings, self.throughput)
        self.checkpoints = Checkpoints(settings)

    # The loop.

    def run(self) -> None:
        """Train to the last step, to the end of the time or until a signal, and leave everything saved."""
        options = self.settings.trainer
        self.started = time.monotonic()
        with StopSignals() as signals, self.reporting.opened(self):
            self.checkpoints.start(self)
            self.throughput.start(self)
            reason = self.reason_not_to_begin()
            if reason is not None and self.fabric.is_global_zero:
                warnings.warn(f"{self.settings.out}: {reason}", stacklevel=1)
            stop, validates = reason is not None, bool(self.valid) and options.validate_batches > 0
            while not stop:
                self.throughput.before_step(self)
                self.train_step()
                self.throughput.after_step(self)
                # Not in the middle of a step: what is saved is a whole number of them.
                asked = signals.number is not None or self.time_is_up()
                stop = self.step >= options.max_steps or self.agree(asked)
                self.reporting.after_step(self)
                # Where a validation follows a step the checkpoint waits for it: a resumed run repeats and skips none.
                if validates and (stop or self.step % options.validate_every == 0):
                    began = time.monotonic()
                    self.validate()
                    self.reporting.after_validation(self, time.monotonic() - began)
                    self.checkpoints.keep_best(self)
                    stop = stop or self.is_stuck()
                if self.checkpoints.is_due(self):
                    self.checkpoints.save_last(self)
            if self.step > self.checkpoints.saved_step:
                self.checkpoints.save_last(self)
        self.ended_by = signals.number

    def train_step(self) -> None:
        """One update of the model and, where there is one, of its discriminator."""
        self.begin_step()
        # Backward and update stand under autocast as well: it keeps the bfloat16 copies of the weights for the
        # discriminator's own loss.
        with self.autocast:
            batch = self.crops.batch(self.step, self.fabric.global_rank, self.fabric.world_size)
            result = self.losses("forward", batch, step=self.step, generator=self.noise(self.step))
            if not result.total.requires_grad:
                raise TrainingError(
                    f"trainer.stages: {self.stage.name}: no loss depends on what it trains; train other parts"
                )
            self.fabric.backward(result.total)
            norms = {"gradient_norm": self.update(self.model_optimizers, self._weights)}
            for optimizer in self.adversary_optimizers:
                optimizer.zero_grad()  # of what the model's loss left in the discriminator
                loss = self.losses("adversary_loss", batch, result)
                self.fabric.backward(loss)
                norms["adversary"] = loss
                norms["adversary_gradient_norm"] = self.update([optimizer], self._adversary_weights)
            self.averages.update(self.step - self.stage.start)
        self.meter.add({**result.losses, **result.stats, **norms, "total": result.total})
        self.step += 1
        self.frames += batch.frames * self.fabric.world_size

    def update(self, optimizers: list[torch.optim.Optimizer], weights: list[nn.Parameter]) -> torch.Tensor:
        """Clip, step and forget the gradients: () norm before clipping."""
        norm = nn.utils.clip_grad_norm_(weights, self.settings.optim.clip_norm or float("inf"))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return norm

    def validate(self) -> None:
        """Losses of the held-out splits under the averaged weights, as `figures`; the trained ones come back."""
        modes = {module: module.training for module in self.objective.modules()}
        self.objective.eval()
        with torch.no_grad(), self.averages.in_place():
            for split, crops in self.valid.items():
                for number in range(self.settings.trainer.validate_batches):
                    self.validation_step(split, crops, number)
            self.reporting.draw_examples(self)
        for module, training in modes.items():  # a teacher stays in the mode that it had
            module.training = training
        self.figures = summarise(self.valid_meter.means(self.reduce), self.codes_per_second)
        self.valid_meter.clear()
        totals = [self.figures[f"{split}/total"] for split in self.valid]
        self.figures["valid/total"] = sum(totals) / len(totals)

    def validation_step(self, split: str, crops: CropSampler, number: int) -> None:
        """Losses of one batch of one split, under the final weights of the stage, so that they compare along it."""
        self.throughput.mark_step()
        with self.autocast:
            batch = crops.batch(number, self.fabric.global_rank, self.fabric.world_size)
            result = self.objective(batch, step=self.stage.end, generator=self.noise(number, split))
        losses = {**result.losses, **result.stats, "total": result.total}
        self.valid_meter.add({f"{split}/{name}": value for name, value in losses.items()})

    # What a process has once it knows its device.

    def start(self, checkpoint: Path | None = None) -> None:
        """Put everything on the device that trains, and go on from a checkpoint where there is one."""
        self.settings = shared_precision(self.settings, self.fabric)
        self.autocast: AbstractContextManager[Any] = nullcontext()
        if self.settings.trainer.precision == "bf16":
            self.autocast = torch.autocast(self.fabric.device.type, torch.bfloat16)
        self.crops = self.crops_of("train", self.settings.seed)
        splits = [split for split in VALIDATION_SPLITS if len(self.store.split(split))]
        self.valid = {split: self.crops_of(split, VALIDATION_SEED) for split in splits}
        self.generator = torch.Generator(self.fabric.device)
        self.fabric.to_device(self.objective)
        kept = None if checkpoint is None else self.checkpoints.load(checkpoint, self)
        # With several processes this is DDP, which averages the gradients of what goes through its forward.
        self.losses = self.fabric.strategy.setup_module(LossCalls(self.objective))
        self.enter(self.plan.at(self.step))
        self.build_optimizers()
        self.averages = Averages(self.objective.model, self.settings.trainer.ema_decay)
        if kept is not None:
            self.averages.load(kept["averages"])
            if not self.plan.begins_at(self.step):  # a stage starts with fresh optimisers
                for optimizer, state in zip(self.optimizers, kept["optimizers"], strict=True):
                    optimizer.load_state_dict(state)

    def crops_of(self, split: str, seed: int) -> CropSampler:
        """Crops of a split, on the device that trains."""
        data = self.settings.data
        grouped = any(utterance.group for utterance in self.store.split(split))
        # A held-out split without groups is judged by the rest of the losses.
        share = data.aligned_share if grouped or split == TRAIN else 0.0
        return self.objective.crops(
            self.store,
            split,
            batch_size=data.batch_size,
            crop_frames=data.crop_frames,
            reference_frames=data.reference_frames,
            seed=seed,
            device=self.fabric.device,
            resident=data.resident,
            aligned_share=share,
        )

    # Stages.

    def begin_step(self) -> None:
        """The stage, the learning rates and what else goes by the coming step."""
        stage = self.plan.at(self.step)
        if stage != self.stage:
            self.enter(stage)
            self.build_optimizers()
        optim = self.settings.optim
        factor = learning_rate_factor(self.step - stage.start, stage.steps, optim)
        for optimizers, rate in (
            (self.model_optimizers, stage.settings.learning_rate or optim.learning_rate),
            (self.adversary_optimizers, optim.adversary_learning_rate),
        ):
            for group in [group for optimizer in optimizers for group in optimizer.param_groups]:
                group["lr"] = rate * factor
        for part in self.scheduled:
            part.set_step(self.step)

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
        """Fresh optimisers of what learns in this stage, on weights that are already on their device."""
        optim, adversary = self.settings.optim, self._adversary_weights
        self.model_optimizers = build_optimizers(self._weights, self.objective, optim)
        self.adversary_optimizers: list[torch.optim.Optimizer] = []
        if adversary:
            self.adversary_optimizers = [adamw(adversary, optim, optim.adversary_learning_rate)]

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the model, then of the discriminator."""
        return [*self.model_optimizers, *self.adversary_optimizers]

    # When to end.

    def reason_not_to_begin(self) -> str | None:
        """Why no step is to be done, alike in all processes; None where there is something to do."""
        options, waited = self.settings.trainer, self.checkpoints.waited
        if self.step >= options.max_steps:
            return f"is finished at step {self.step}; raise trainer.max_steps above {self.step} to train on"
        if self.is_stuck():
            return (
                f"was ended at step {self.step}, as valid/total got no better; "
                f"raise trainer.early_stopping_patience above {waited} to train on"
            )
        if self.fabric.broadcast(self.time_is_up()):
            return f"trainer.max_minutes={options.max_minutes} were over before the first step; give more"
        return None

    def is_stuck(self) -> bool:
        """Whether valid/total got no better for as many validations as early stopping has patience for."""
        patience = self.settings.trainer.early_stopping_patience
        return patience is not None and self.checkpoints.waited >= patience

    def time_is_up(self) -> bool:
        """Whether `trainer.max_minutes` of this process are over."""
        minutes = self.settings.trainer.max_minutes
        return minutes is not None and time.monotonic() - self.created > 60 * minutes

    def agree(self, wish: bool) -> bool:
        """The first process's wish, known to all; several processes meet only every `log_every` steps."""
        if self.fabric.world_size == 1:
            return wish
        if self.step % self.settings.trainer.log_every:
            return False
        return self.fabric.broadcast(wish)

    # Figures of the state.

    def noise(self, step: int, purpose: str = "train") -> torch.Generator:
        """Generator for one step; dropout, which takes none, draws from the global one seeded alike."""
        seed = noise_seed(self.settings.seed, step, self.fabric.global_rank, purpose)
        torch.manual_seed(seed)
        return self.generator.manual_seed(seed)

    def reduce(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the processes of the training."""
        reduced = self.fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(reduced, torch.Tensor)
        return reduced

    @property
    def learning_rate(self) -> float:
        """Of the model, at the last step."""
        return float(self.model_optimizers[0].param_groups[0]["lr"])

    @property
    def codes_per_second(self) -> float:
        """Frames of the bottleneck in a second."""
        return self.store.spec.frame_rate / float(getattr(self.objective.model, "rate", 1))

    @property
    def seconds(self) -> float:
        """Wall time of the run, over all its processes one after another."""
        return self.earlier_seconds + time.monotonic() - self.started


class LossCalls(nn.Module):
    """Calls either loss of an objective by one `forward`, the only method that DDP watches.

    Args:
        objective: whose losses.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, method: str, *arguments: Any, **options: Any) -> Any:
        """What `forward` or `adversary_loss` of the objective gives."""
        return getattr(self.objective, method)(*arguments, **options)


class StopSignals:
    """Notes the first signal that asks to stop, inside a `with` block; a second one acts as it would without it.

    Attributes:
        number: of the signal; None until one has come.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen, in the main thread, which alone can."""
        if threading.current_thread() is threading.main_thread():
            # nohup has some of them ignored, which stays so.
            handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._handlers = {number: signal.signal(number, self._note) for number in handled}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._release()

    def _release(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        self._release()


def adversary_of(objective: nn.Module) -> nn.Module:
    """The part of an objective that learns against the model; empty where there is none."""
    adversary = getattr(objective, "adversary", None)
    return adversary if isinstance(adversary, nn.Module) else nn.Module()
