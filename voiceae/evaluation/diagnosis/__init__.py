"""Faults inside a model: collapse, speaker leakage, codes unlike their prior, dead codes, muddled speakers.

Each area is checked by one file, and ends in a finding: a verdict, one sentence, and the figures behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Verdict(IntEnum):
    """How bad a finding is, rising, so that the worst of several is their maximum."""

    OK = 0
    WARNING = 1
    FAILED = 2

    def __str__(self) -> str:
        """Lower case, as it is printed and written."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found in one area of the model.

    Attributes:
        area: short name.
        verdict: how bad it is.
        reason: one sentence.
        figures: plain numbers and names.
        series: arrays for the plots.
    """

    area: str
    verdict: Verdict
    reason: str
    figures: Mapping[str, Any]
    series: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, six significant digits."""
        return {
            "verdict": str(self.verdict),
            "reason": self.reason,
            "figures": _plain(self.figures),
            "series": {name: _plain(values.tolist()) for name, values in self.series.items()},
        }


def grade(value: float, warning: float, failed: float) -> Verdict:
    """Verdict on a figure by the two values where it becomes worse; which side is bad follows from their order."""
    sign = 1 if failed > warning else -1
    if not np.isfinite(value) or sign * value >= sign * failed:
        return Verdict.FAILED
    return Verdict.WARNING if sign * value >= sign * warning else Verdict.OK


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float | np.floating) else value
