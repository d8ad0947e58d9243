"""Weights that change with the step."""

from __future__ import annotations

import math


class Schedule:
    """A weight as a function of the step: constant, or risen linearly from zero once or in cycles.

    Cyclic annealing: Fu et al. 2019 (arXiv 1903.10145).

    Args:
        value: the weight at the top.
        kind: "constant", "linear" or "cyclic".
        steps: of the rise (linear) or of one cycle (cyclic).
        rise: part of a cycle spent rising.
        start: the step from which the schedule counts; before it, it stands at its beginning.

    Raises:
        ValueError: for a value that is no finite number, an unknown kind, or a schedule without steps.
    """

    KINDS = ("constant", "linear", "cyclic")

    def __init__(
        self, value: float, kind: str = "constant", steps: int = 0, rise: float = 0.5, start: int = 0
    ) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r}: must be a finite number")
        if kind not in self.KINDS:
            raise ValueError(f"schedule {kind!r}: expected one of {', '.join(self.KINDS)}")
        if kind != "constant" and not 1 <= steps < math.inf:
            raise ValueError(f"schedule {kind!r} needs steps >= 1, got {steps}")
        if not 0 < rise <= 1:
            raise ValueError(f"rise {rise}: need 0 < rise <= 1")
        self.value, self.kind, self.steps, self.rise, self.start = value, kind, steps, rise, start

    def __call__(self, step: int) -> float:
        """Weight at a step, from 0."""
        step = max(0, step - self.start)
        if self.kind == "constant":
            return self.value
        if self.kind == "linear":
            return self.value * min(1.0, step / self.steps)
        return self.value * min(1.0, (step % self.steps) / (self.rise * self.steps))
