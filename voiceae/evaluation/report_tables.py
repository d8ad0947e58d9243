"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voiceae.evaluation.report import FIGURES, Report
from voiceae.evaluation.systems import ROWS

BLOCKS = {
    "Speaker": (
        "sim_target",
        "sim_source",
        "sim_source_clip",
        "accepted",
        "nearer_target",
        "nearer_target_than_clip",
        "eer_target",
    ),
    "Content": ("cer_recogniser", "wer_recogniser", "cer_text", "wer_text"),
    "Naturalness": ("sig", "bak", "ovrl"),
    "Pitch and spectrum": ("f0_correlation", "f0_offset_semitones", "mcd_db"),
}
"""Tables by title, with their columns."""


def markdown(report: Report) -> str:
    """The whole report, for reading."""
    parts = ["# Evaluation", _about(report), _verdicts(report), _natural(report)]
    for title, figures in BLOCKS.items():
        table = block(report["rows"], figures)
        if table:
            legend = "\n".join(f"- `{figure}`: {FIGURES[figure]}" for figure in table[0][1:])
            parts.append(f"## {title}\n\n{_table(table)}\n\n{legend}")
    parts += [
        _groups(report),
        _excluded(report),
        "## Protocol\n\n" + "\n".join(f"- {line}" for line in report["protocol"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def block(rows: Mapping[str, Any], figures: Sequence[str]) -> list[list[str]]:
    """Cells of a table, its head first: rows that have any of the figures; empty when there are none."""
    present = [figure for figure in figures if any(figure in values for values in rows.values())]
    table = [
        [ROWS.get(row, row), *(interval(values.get(figure)) for figure in present)]
        for row, values in rows.items()
        if set(present) & set(values)
    ]
    return [["row", *present], *table] if table else []


def interval(values: Mapping[str, float] | None) -> str:
    """Mean, interval and number of pairs."""
    if values is None:
        return ""
    return f"{values['mean']:.3f} [{values['low']:.3f}, {values['high']:.3f}] n={values['n']:.0f}"


def verdicts(report: Report) -> list[tuple[str, str]]:
    """The figures that decide whether anything was converted, with what they are."""
    found = []
    for figure, row in (
        ("sim_target", "source"),
        ("sim_target", "transfer"),
        ("cer_recogniser", "shuffled"),
        ("ovrl", "copy"),
    ):
        difference = report["differences"].get(row, {}).get(figure)
        if difference:
            found.append(
                (f"conversion minus {ROWS[row].partition(':')[0]}: {FIGURES[figure]}", interval(difference))
            )
    for figure in ("nearer_target", "nearer_target_than_clip", "accepted", "cer_recogniser"):
        value = report["rows"].get("conversion", {}).get(figure)
        if value:
            found.append((FIGURES[figure], interval(value)))
    return found


def _verdicts(report: Report) -> str:
    found = verdicts(report)
    return "## In short\n\n" + _table([["figure", "value"], *map(list, found)]) if found else ""


def _about(report: Report) -> str:
    lines = [f"- {name}: {_plain(value)}" for name, value in report["about"].items()]
    lines.append(f"- seed: {report['seed']}")
    lines.append("- judges: " + "; ".join(f"{name}: {value}" for name, value in report["judges"].items()))
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def natural_cells(report: Report) -> list[list[str]]:
    """Cells of the table of natural speech, its head first."""
    columns = ("same", "different", "eer", "threshold", "clips", "pairs_same", "pairs_different")
    rows = [
        [name, *(f"{values[column]:.4g}" for column in columns)] for name, values in report["natural"].items()
    ]
    return [["subset", *columns], *rows]


def _natural(report: Report) -> str:
    return "## Natural speech\n\n" + _table(natural_cells(report)) if report["natural"] else ""


def _groups(report: Report) -> str:
    figures = ("sim_target", "nearer_target", "accepted", "cer_recogniser", "ovrl")
    table = block(report["groups"], figures)
    return "## Conversions by sex\n\n" + _table(table) if table else ""


def _excluded(report: Report) -> str:
    if not report["excluded"]:
        return "## Left out\n\nNothing."
    rows = [[each["pair"], each["judge"] or "all", each["reason"]] for each in report["excluded"]]
    return f"## Left out: {len(rows)}\n\n" + _table([["pair", "judge", "reason"], *rows])


def _table(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in cells]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
