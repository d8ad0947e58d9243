"""A report as Markdown: the verdict, the leading figures, then every table, and the settings at the end."""

from __future__ import annotations

from collections.abc import Iterable

from voiceae.evaluation.report import Report
from voiceae.evaluation.reporting.summary import (
    Table,
    excluded_table,
    headlines,
    notes,
    row_meanings,
    settings,
    tables,
    verdict,
)


def markdown(report: Report) -> str:
    """The whole report as Markdown."""
    parts = ["# Evaluation", _plain(verdict(report))]
    if (short := headlines(report)).rows:
        parts.append(_section(short))
    if found := notes(report):
        parts.append("## Notes\n\n" + _list(found))
    parts.append("## What the rows are\n\n" + _list(row_meanings(report)))
    parts += [_section(table) for table in tables(report)]
    if (excluded := excluded_table(report)).rows:
        parts.append(_section(excluded))
    parts.append("## How it was measured\n\n" + _list(report["protocol"]))
    parts.append(
        "## Settings and fingerprints\n\n" + _list(f"{name}: {value}" for name, value in settings(report))
    )
    return "\n\n".join(parts) + "\n"


def _section(table: Table) -> str:
    head = [words + (f" ({unit})" if unit else "") for words, unit in table.head]
    lines = [head, ["---"] * len(head), *table.rows]
    cells = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
    return f"## {_plain(table.title)}\n\n{cells}" + (f"\n\n{_list(table.legend)}" if table.legend else "")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text on one line in which no file name opens a tag."""
    return text.replace("\n", " ").replace("<", "&lt;")
