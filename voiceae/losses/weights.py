"""Named losses times one dictionary of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from voiceae.errors import ConfigError
from voiceae.losses.schedules import Schedule


class LossWeights:
    """Weighted sum of named losses.

    Args:
        weights: by name, a number or the arguments of a `Schedule`.

    Raises:
        ConfigError: for a schedule that makes no sense.
    """

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.given = _schedules(weights)
        self.schedules = self.given

    def change(self, weights: Mapping[str, Any], start: int) -> None:
        """From now on other weights for some losses, and for the rest those given in the beginning.

        Args:
            weights: by name, as for the whole.
            start: the step from which schedules among them count.

        Raises:
            ConfigError: for a loss that has no weight in the beginning, or a schedule that makes no sense.
        """
        unknown = sorted(set(weights) - set(self.given))
        if unknown:
            raise ConfigError(
                f"loss.weights has no {', '.join(unknown)} to be changed; it has {', '.join(sorted(self.given))}"
            )
        self.schedules = {**self.given, **_schedules(weights, start=start)}

    def __contains__(self, name: str) -> bool:
        return name in self.schedules and self.schedules[name].value != 0

    def __call__(self, losses: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Total at a step, and every term of it as weighted.

        Raises:
            ConfigError: when a loss has no weight: a silent zero would hide a slip of the pen.
        """
        unknown = sorted(set(losses) - set(self.schedules))
        if unknown:
            raise ConfigError(
                f"loss.weights has no weight for {', '.join(unknown)}; it has {', '.join(sorted(self.schedules))}"
            )
        weighted = {name: self.schedules[name](step) * value for name, value in losses.items()}
        return sum(weighted.values(), start=next(iter(weighted.values())).new_zeros(())), weighted


def _schedules(weights: Mapping[str, Any], **options: Any) -> dict[str, Schedule]:
    return {name: _schedule(value, f"loss.weights.{name}", options) for name, value in weights.items()}


def _schedule(value: Any, where: str, options: Mapping[str, Any]) -> Schedule:
    try:
        given = {**options, **value} if isinstance(value, Mapping) else {**options, "value": value}
        schedule = Schedule(**given)
        if schedule.value < 0:  # nothing that is called a loss here is to be raised
            raise ValueError(f"{schedule.value}: must be at least 0")
        return schedule
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error
