"""Two reports side by side, and a report against what it must keep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voiceae.errors import ConfigError
from voiceae.evaluation.report import Report
from voiceae.evaluation.scores import bootstrap


@dataclass(frozen=True)
class Change:
    """One figure in two reports.

    Attributes:
        row: of the table.
        figure: of the row.
        before: mean in the first report.
        after: mean in the second.
        low: lower end of the interval of the difference.
        high: upper end of the interval of the difference.
        paired: whether both reports judged the same pairs, so that the difference is paired.
    """

    row: str
    figure: str
    before: float
    after: float
    low: float
    high: float
    paired: bool

    @property
    def exceeds(self) -> bool:
        """Whether the interval of the difference leaves zero out."""
        return self.low > 0 or self.high < 0


def compare(first: Report, second: Report) -> list[Change]:
    """Every figure that both reports have; second minus first.

    Paired where both judged a row of the same pairs; otherwise the intervals are combined as independent.
    """
    return [
        _change(row, figure, first, second)
        for row, figures in second["rows"].items()
        for figure in figures
        if figure in first["rows"].get(row, {})
    ]


def _change(row: str, figure: str, first: Report, second: Report) -> Change:
    a, b = first["rows"][row][figure], second["rows"][row][figure]
    ours, theirs = (_values(report, row, figure) for report in (second, first))
    if ours and ours.keys() == theirs.keys():
        interval = bootstrap([ours[key] - theirs[key] for key in ours], int(second["seed"]))
        return Change(row, figure, a["mean"], b["mean"], interval.low, interval.high, True)
    difference = b["mean"] - a["mean"]
    below = math.hypot(b["mean"] - b["low"], a["high"] - a["mean"])
    above = math.hypot(b["high"] - b["mean"], a["mean"] - a["low"])
    return Change(row, figure, a["mean"], b["mean"], difference - below, difference + above, False)


def _values(report: Report, row: str, figure: str) -> dict[tuple[Any, ...], float]:
    """Values by what was judged: the clips, not the name of the pair."""
    found = {}
    for pair in report["pairs"]:
        value = pair["rows"].get(row, {}).get(figure)
        if value is not None:
            found[(pair["source"], *pair["heard"], pair["scored"], pair["source_other"])] = value
    return found


def read_tolerances(path: Path) -> dict[str, tuple[float | None, float | None]]:
    """Ranges by figure: a JSON object of `"row.figure": [low, high]`, either end null.

    "natural.subset.figure", "differences.row.figure" and "groups.group.figure" are figures too.

    Raises:
        ConfigError: when it is missing, or is something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): _range(ends) for name, ends in table.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        wanted = '{"conversion.sim_target": [0.6, null], ...}'
        raise ConfigError(f"{path}: is not a table of tolerances like {wanted} ({error})") from None


def _range(ends: Any) -> tuple[float | None, float | None]:
    low, high = ends
    return None if low is None else float(low), None if high is None else float(high)


def departures(report: Report, tolerances: dict[str, tuple[float | None, float | None]]) -> Iterator[str]:
    """One line for each figure that is out of its range, or is not there."""
    for name, (low, high) in tolerances.items():
        value = _figure(report, name)
        if value is None:
            yield f"{name}: is not in the report"
        elif not (-math.inf if low is None else low) <= value <= (math.inf if high is None else high):
            yield f"{name}: {value:.4g} is outside {low} to {high}"


def _figure(report: Report, name: str) -> float | None:
    parts = name.split(".")
    found: Any = report if parts[0] in ("natural", "differences", "groups") else report["rows"]
    for part in parts:
        found = found.get(part) if isinstance(found, dict) else None
    return float(found["mean"]) if isinstance(found, dict) and "mean" in found else found
