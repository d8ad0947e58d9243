"""What a report says to people, whatever the page: the verdict, tables in words, notes, pairs by rank."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from voiceae.evaluation.figures import FIGURES, SOUND, VOICE, WORDS
from voiceae.evaluation.report import Report
from voiceae.evaluation.systems import ROWS
from voiceae.evaluation.verification.embeddings import embedding_cells

Intervals = Mapping[str, Mapping[str, Any]]
"""Mean and interval by row and figure."""

TRAINED_ON = "speakers of its training, none of them here"
"""What the settings call the number of speakers that are known to have been left out."""

MORE_EXAMPLES = 6  # behind a fold; nine in all are a page of about 2 MB

LEADING = [name for name, figure in FIGURES.items() if figure.charted or figure.clause]
"""Figures that a reader looks at first."""


@dataclass(frozen=True)
class Table:
    """A table in words.

    Attributes:
        title: of the table.
        head: of each column, words and unit.
        rows: cells as texts, the row's name first.
        legend: one line each on what the rows and columns are.
    """

    title: str
    head: list[tuple[str, str]]
    rows: list[list[str]]
    legend: list[str]


def verdict(report: Report) -> str:
    """The result in one sentence, by the conversion's own figures."""
    rows = report["rows"]
    conversion = {name: values for name, values in rows.get("conversion", {}).items() if known(values)}
    n = max((values["n"] for values in conversion.values()), default=0)
    if not n:
        return "No conversion was judged; the notes say why."
    clauses = []
    for name, figure in FIGURES.items():
        if figure.clause and name in conversion:
            clause = figure.clause.format(figure.number(conversion[name]["mean"]))
            # Some scorers fail on some pairs; a share of fewer pairs must not pass for one of all.
            clause += f" of {conversion[name]['n']:.0f}" if conversion[name]["n"] != n else ""
            ceiling = rows.get(figure.ceiling, {}).get(name)
            if figure.beside and known(ceiling):
                clause += figure.beside.format(figure.number(ceiling["mean"]))
            clauses.append(clause)
    pairs = f"On {n:.0f} pair{'s' if n > 1 else ''} of speakers"
    pairs += " it never heard" if report["about"].get(TRAINED_ON) else ""
    if not clauses:
        return f"{pairs}, nothing judged the conversion's likeness, words or sound."
    said = ", ".join(clauses[:-1]) + " and " + clauses[-1] if len(clauses) > 1 else clauses[0]
    return f"{pairs}, the conversion {said}."


def known(values: Mapping[str, float] | None) -> TypeGuard[Mapping[str, float]]:
    """Whether there is a mean that is a number."""
    return values is not None and math.isfinite(values["mean"])


def headlines(report: Report) -> Table:
    """The leading figures: the conversion between the rows that are its floor and its ceiling."""
    rows, present = report["rows"], []
    cells = []
    for name in LEADING:
        figure = FIGURES[name]
        if known(rows.get("conversion", {}).get(name)):
            present.append(name)
            n = rows["conversion"][name]["n"]
            ends = [
                f"{ROWS[row].words} {_interval_of(name, rows[row], n)}" if name in rows.get(row, {}) else ""
                for row in (figure.floor, figure.ceiling)
            ]
            conversion = figure.interval(rows["conversion"][name])
            cells.append([label(report, name), figure.unit + _side(name), conversion, *ends])
    head = [(words, "") for words in ("figure", "unit", "conversion", "floor", "ceiling")]
    return Table("In short", head, cells, [_meaning(name) for name in present])


def label(report: Report, name: str) -> str:
    """Words of a figure, marked where its judge taught the model."""
    taught = any(name.endswith(f"_{scorer}") for scorer in report.get("teachers", {}))
    return FIGURES[name].words + (" (a teacher's)" if taught else "")


def tables(report: Report) -> Iterator[Table]:
    """All tables of a report that have anything in them."""
    for title in dict.fromkeys(figure.table for figure in FIGURES.values()):
        figures = [name for name in FIGURES if FIGURES[name].table == title]
        if table := intervals_table(report, title, report["rows"], figures):
            yield table
    for title, rows in {
        f"By direction: {report.get('directions_by', '')}": report.get("directions", {}),
        "Across the sexes and within one": report["groups"],
        "Conversion minus each other row, pair by pair": report["differences"],
    }.items():
        if table := intervals_table(report, title, rows, LEADING):
            yield replace(table, legend=[])  # the tables before it have said what the columns are
    for part, judge in {"natural": "Resemblyzer", "natural_dvector": "d-vector"}.items():
        if report.get(part):
            yield natural_table(f"Natural speech by {judge}", report[part])
    if embeddings := report.get("embeddings"):
        head, *rows = embedding_cells(embeddings)
        yield Table("Speaker embeddings", [(words, "") for words in head], rows, [embeddings["protocol"]])


def row_meanings(report: Report) -> list[str]:
    """One line for each row that the report has."""
    return [f"{row.words}: {row.meaning}" for name, row in ROWS.items() if name in report["rows"]]


def intervals_table(report: Report, title: str, rows: Intervals, figures: Sequence[str]) -> Table | None:
    """Means and intervals, the number of pairs once a row; None without a figure."""
    present = [name for name in figures if any(name in values for values in rows.values())]
    cells = []
    for row, values in rows.items():
        counts = Counter(values[name]["n"] for name in present if name in values)
        if counts:
            n = counts.most_common(1)[0][0]
            texts = [_interval_of(name, values, n) for name in present]
            cells.append([ROWS[row].words if row in ROWS else row, f"{n:.0f}", *texts])
    if not cells:
        return None
    units = ((label(report, name), FIGURES[name].unit + _side(name)) for name in present)
    return Table(title, [("", ""), ("pairs", ""), *units], cells, [_meaning(name) for name in present])


def _interval_of(name: str, values: Mapping[str, Mapping[str, Any]], n: int) -> str:
    """A row's interval of a figure, with its number of pairs where that is not what a reader expects."""
    if name not in values:
        return ""
    text = FIGURES[name].interval(values[name])
    return text if values[name]["n"] == n else f"{text} of {values[name]['n']:.0f}"


def natural_table(title: str, natural: Mapping[str, Mapping[str, float]]) -> Table:
    """What a speaker encoder finds in natural speech, by subset of the corpus."""
    head = [
        ("part of the corpus", ""),
        ("likeness within a speaker", "cosine"),
        ("between speakers", "cosine"),
        ("equal error rate", "%"),
        ("passes from", "cosine"),
        ("recordings", ""),
        ("pairs of one speaker", ""),
        ("pairs of two", ""),
    ]
    rows = []
    for name, values in natural.items():
        cosines = [f"{values[key]:.2f}" for key in ("same", "different")]
        counts = [f"{values[key]:,.0f}" for key in ("clips", "pairs_same", "pairs_different")]
        rows.append([name, *cosines, f"{100 * values['eer']:.1f}", f"{values['threshold']:.2f}", *counts])
    return Table(title, head, rows, [])


def excluded_table(report: Report) -> Table:
    """What was left out, of which scorer's figures, and why."""
    rows = [[each["pair"], each["scorer"] or "all", each["reason"]] for each in report["excluded"]]
    return Table(f"Left out: {len(rows)}", [("pair", ""), ("judge", ""), ("reason", "")], rows, [])


def notes(report: Report) -> list[str]:
    """What a reader must know before believing a figure: absent judges, judges that taught, how much was left out."""
    found = [f"No figures of {line}" for line in report.get("missing", {}).values()]
    found += report.get("notes", [])
    found += [
        f"The figures of {scorer} are a teacher's: the model learnt from {network}."
        for scorer, network in report.get("teachers", {}).items()
    ]
    if report["excluded"]:
        found.append(
            f"{len(report['excluded'])} entries were left out of some or all figures; see the table."
        )
    return found


def settings(report: Report) -> list[tuple[str, str]]:
    """Fingerprints, versions and everything else that makes the same report again."""
    parts = {**report["about"], "seed": report["seed"], **report["scorers"], **report["versions"]}
    return [(str(name), _text(value)) for name, value in parts.items()]


def ranked_pairs(report: Report) -> list[dict[str, Any]]:
    """Converted pairs from best to worst, by their mean place in likeness, words and sound, as far as they were judged.

    Without any of these, by their mean place in all figures that have a better side. Pairs that lack a figure that
    others have are not ranked: a place among fewer would not mean the same.
    """
    from scipy.stats import rankdata

    def finite(pair: Mapping[str, Any], name: str) -> bool:
        return math.isfinite(pair["rows"].get("conversion", {}).get(name, math.nan))

    there = [name for name in FIGURES if any(finite(pair, name) for pair in report["pairs"])]
    firsts = {FIGURES[name].table: name for name in reversed(there) if FIGURES[name].charted}
    chosen = [firsts[table] for table in (VOICE, WORDS, SOUND) if table in firsts]
    chosen = chosen or [name for name in there if FIGURES[name].better]
    whole = [pair for pair in report["pairs"] if chosen and all(finite(pair, name) for name in chosen)]
    places = [0.0] * len(whole)
    for name in chosen:
        sign = -1 if FIGURES[name].better == "up" else 1
        ranks = rankdata([sign * pair["rows"]["conversion"][name] for pair in whole])
        places = [place + float(rank) for place, rank in zip(places, ranks, strict=True)]
    return [whole[i] for i in sorted(range(len(whole)), key=lambda i: (places[i], whole[i]["name"]))]


def examples(report: Report) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Pairs to listen to by their titles: the best, the middle and the worst; and more, evenly over the ranking."""
    ranked = ranked_pairs(report)
    if not ranked:  # nothing judged them, yet they can be heard
        return {}, {f"Pair {pair['name']}": pair for pair in report["pairs"][:MORE_EXAMPLES]}
    last = len(ranked) - 1
    if not last:
        return {"The only pair": ranked[0]}, {}
    places = {0: "Best", last: "Worst"} if last == 1 else {0: "Best", last // 2: "Middle", last: "Worst"}
    rest = [place for place in range(len(ranked)) if place not in places]
    n_more = min(MORE_EXAMPLES, len(rest))
    spread = [rest[round(i * (len(rest) - 1) / max(1, n_more - 1))] for i in range(n_more)]
    of = f"of {len(ranked)}"
    chosen = {f"{word}: place {place + 1} {of}": ranked[place] for place, word in places.items()}
    return chosen, {f"Place {place + 1} {of}": ranked[place] for place in spread}


def _side(name: str) -> str:
    return {"up": ", higher is better", "down": ", lower is better", "": ""}[FIGURES[name].better]


def _meaning(name: str) -> str:
    figure = FIGURES[name]
    return f"{figure.words}: {figure.meaning}" + (f" ({figure.judge})" if figure.judge else "")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
