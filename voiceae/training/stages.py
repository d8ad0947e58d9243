"""A training in stages: which parts learn when, for how long and from which losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from voiceae.errors import ConfigError
from voiceae.training.schema import STRICT, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One of `trainer.stages`; all but the first two may be left out.

    Attributes:
        name: for logs, and for the objective.
        steps: how long it lasts.
        train: parts that learn, by their dotted names in the model or the objective; None: all.
        freeze: parts that do not, of those.
        weights: of losses, instead of those in `loss.weights`; schedules among them count from the stage's first step.
        options: what the objective makes of the stage; see there.
        learning_rate: of the model, instead of `optim.learning_rate`.
    """

    __pydantic_config__ = STRICT

    name: str
    steps: PositiveInt
    train: tuple[str, ...] | None = None
    freeze: tuple[str, ...] = ()
    weights: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    learning_rate: PositiveFloat | None = None


@dataclass(frozen=True)
class Stage:
    """A stage in its place.

    Attributes:
        settings: from the config.
        number: from 0.
        start: its first step.
    """

    settings: StageSettings
    number: int = 0
    start: int = 0

    @property
    def name(self) -> str:
        """Empty for a training without stages."""
        return self.settings.name

    @property
    def steps(self) -> int:
        """How many steps it lasts."""
        return self.settings.steps

    @property
    def end(self) -> int:
        """First step that is not its own."""
        return self.start + self.steps

    @property
    def identity(self) -> dict[str, Any]:
        """What a training that stopped within it must find again."""
        settings = self.settings
        return {
            "name": settings.name,
            "start": self.start,
            "train": None if settings.train is None else list(settings.train),
            "freeze": list(settings.freeze),
        }


class Plan:
    """The stages of a training one after another; without any there is one that trains everything.

    Args:
        stages: of the config.
        max_steps: where the training ends.

    Raises:
        ConfigError: when two share a name, or they end before `max_steps`.
    """

    def __init__(self, stages: Sequence[StageSettings], max_steps: int) -> None:
        names = [stage.name for stage in stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        total = sum(stage.steps for stage in stages)
        if twice:
            raise ConfigError(f"trainer.stages: two are named {twice[0]}; give each its own name")
        if stages and max_steps > total:
            raise ConfigError(
                f"trainer.max_steps={max_steps}: the stages end after {total} steps; lengthen one of them, or end there"
            )
        self.has_stages = bool(stages)
        stages = stages or [StageSettings(name="", steps=max_steps)]
        starts = [sum(stage.steps for stage in stages[:number]) for number in range(len(stages))]
        self.stages = [
            Stage(stage, number, start)
            for number, (stage, start) in enumerate(zip(stages, starts, strict=True))
        ]

    def __iter__(self) -> Iterator[Stage]:
        """From the first to the last."""
        return iter(self.stages)

    def at(self, step: int) -> Stage:
        """The stage of a step counted from 0; the last one for all steps beyond."""
        begun = [stage for stage in self.stages if stage.start <= step]
        return begun[-1]

    def begins_at(self, step: int) -> bool:
        """Whether a stage other than the first begins with a step."""
        return step > 0 and self.at(step).start == step


def trained_names(objective: nn.Module, stage: StageSettings) -> set[str]:
    """Names of the weights that learn in a stage.

    Raises:
        ConfigError: for a part that there is not, with the nearest that there is.
    """
    names = [name for name, _ in objective.named_parameters()]
    for key in ("train", "freeze"):
        for part in getattr(stage, key) or ():
            if any(_within(name, part) for name in names):
                continue
            modules = [name for name, module in objective.named_modules() if list(module.parameters())]
            known = [name.removeprefix("model.") for name in modules]
            near = get_close_matches(part, known, 1)
            top = sorted({name.split(".")[0] for name in known if name} - {"model"})
            raise ConfigError(
                f"trainer.stages: {stage.name}.{key}: no part {part!r} has weights; "
                + (f"did you mean {near[0]}?" if near else f"there are {', '.join(top)}")
            )
    return {
        name
        for name in names
        if (stage.train is None or any(_within(name, part) for part in stage.train))
        and not any(_within(name, part) for part in stage.freeze)
    }


def _within(name: str, part: str) -> bool:
    """Whether a weight of the objective belongs to a part, named in full or as the model has it."""
    return any(f"{each}.".startswith(f"{part}.") for each in (name, name.removeprefix("model.")))
