"""The report of an evaluation as plain data, and its comparison with another report or with tolerances."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from voiceae.errors import ConfigError
from voiceae.evaluation import pairs, scores
from voiceae.evaluation.directions import Directions, find_directions
from voiceae.evaluation.evaluation import Evaluation, figure_of
from voiceae.evaluation.figures import FIGURES
from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.scores import RESAMPLES, Interval, bootstrap, equal_error
from voiceae.evaluation.systems import ROWS
from voiceae.io.filesystem import atomic_path
from voiceae.pretrained import dvector

Report: TypeAlias = dict[str, Any]

FORMAT = 2  # 1 called the scorers judges, and the clips given to the model heard
EER_RESAMPLES = 200  # each sorts all natural scores; the ends then vary by 5 % of the interval' width
LIBRARIES = (
    *("voiceae", "numpy", "torch", "librosa"),
    *("resemblyzer", "open-voicefilter-lite", "moonshine-voice", "pocketsphinx", "faster-whisper"),
    *("speechmos", "distillmos", "onnxruntime", "pyworld", "jiwer"),
)

PROTOCOL = [
    pairs.PROTOCOL,
    scores.PROTOCOL,
    "Speakers that the model was trained on are left out. No conversion is scored on a clip that the model was given.",
    "Error rates ignore case and punctuation; spaces count as characters. Means are over pairs.",
    f"Intervals: 95 %, bootstrap over pairs, {RESAMPLES} resamples ({EER_RESAMPLES} for equal error "
    "rates). Differences are paired.",
    "A pair that a scorer cannot score in one row is left out of all rows of that scorer.",
]


def make_report(
    evaluation: Evaluation,
    *,
    about: Mapping[str, Any],
    seed: int,
    root: Path,
    embeddings: Mapping[str, Any] | None = None,
) -> Report:
    """Summarise an evaluation as plain data.

    Args:
        evaluation: the scored pairs.
        about: of the model, vocoder, corpus and speed, kept as they are.
        seed: that everything was drawn with.
        root: folder that paths are written relative to.
        embeddings: what `measure_embeddings` found of the model's own; None where there is no model.
    """
    found = find_directions(evaluation.pairs, evaluation.measurements)
    return {
        "format": FORMAT,
        "about": dict(about),
        "seed": seed,
        "protocol": PROTOCOL,
        "versions": _versions(),
        "scorers": evaluation.versions,
        "missing": evaluation.missing,
        "notes": evaluation.notes,
        "teachers": _teachers(about.get("teachers", ())),
        **{figure_of("natural", name): scores.subsets for name, scores in evaluation.natural.items()},
        "embeddings": dict(embeddings or {}),
        "rows": row_intervals(evaluation, seed),
        "differences": differences(evaluation, seed),
        "groups": group_intervals(evaluation, seed),
        "directions_by": found.by,
        "directions": direction_intervals(evaluation, found, seed),
        "excluded": [asdict(exclusion) for exclusion in evaluation.excluded],
        "pairs": [
            {**_pair(pair, evaluation, root), "direction": found.of.get(pair.name)}
            for pair in evaluation.pairs
        ],
    }


def _teachers(names: Iterable[str]) -> dict[str, str]:
    """Scorers that the model has learnt from, whose figures therefore are no independent judgement, by their name."""
    return {"dvector": dvector.NAME} if dvector.NAME in names else {}


def row_intervals(evaluation: Evaluation, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and interval by row and figure."""
    columns = {(row, figure): _column(evaluation, row, figure) for row in ROWS for figure in FIGURES}
    table = _intervals({key: list(column.values()) for key, column in columns.items()}, seed)
    for row, encoder in product(table, evaluation.natural):
        similar = np.array(list(columns[row, figure_of("sim_target", encoder)].values()))
        if len(similar):
            # Equal error rate between natural scores of one speaker and scores of the row, with its interval.
            same, rng = evaluation.natural[encoder].same, np.random.default_rng(seed)
            drawn = [equal_error(same, rng.choice(similar, len(similar))).rate for _ in range(EER_RESAMPLES)]
            low, high = map(float, np.percentile(drawn, [2.5, 97.5]))
            rate = equal_error(same, similar).rate
            table[row][figure_of("eer_target", encoder)] = asdict(Interval(rate, low, high, len(similar)))
    return table


def differences(evaluation: Evaluation, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Conversion minus every other row, pair by pair: interval by row and figure."""
    table: dict[tuple[str, str], list[float]] = {}
    for row in (row for row in ROWS if row != "conversion"):
        for figure in FIGURES:
            ours, theirs = (_column(evaluation, name, figure) for name in ("conversion", row))
            table[row, figure] = [ours[name] - theirs[name] for name in ours if name in theirs]
    return _intervals(table, seed)


def group_intervals(evaluation: Evaluation, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Conversions across and within the sexes: interval by group and figure."""
    table: dict[tuple[str, str], list[float]] = {}
    for name, across in (("across the sexes", True), ("within a sex", False)):
        members = {pair.name for pair in evaluation.pairs if pair.cross_gender is across}
        for figure in FIGURES:
            column = _column(evaluation, "conversion", figure)
            table[name, figure] = [value for pair, value in column.items() if pair in members]
    return _intervals(table, seed)


def direction_intervals(
    evaluation: Evaluation, directions: Directions, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Conversions by direction: interval by direction and figure."""
    table: dict[tuple[str, str], list[float]] = {}
    for name in sorted(set(directions.of.values())):
        for figure in FIGURES:
            column = _column(evaluation, "conversion", figure)
            table[name, figure] = [value for pair, value in column.items() if directions.of.get(pair) == name]
    return _intervals(table, seed)


def _intervals(
    values: Mapping[tuple[str, str], list[float]], seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and interval by row and figure, of those that have values."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for (row, figure), column in values.items():
        if column:
            table.setdefault(row, {})[figure] = asdict(bootstrap(column, seed))
    return table


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON; the file appears only when it is complete.

    Raises:
        OutputError: when it cannot be written.
    """
    with atomic_path(path) as temporary:
        # Names of files that are not UTF-8 become JSON's own escapes, which `read_report` turns back.
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_report(path: Path) -> Report:
    """Read a report that `write_report` wrote.

    Raises:
        ConfigError: when there is none, or it is not a report of this format.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["format"] != FORMAT or not isinstance(report["rows"], dict):
            raise ConfigError(
                f"{path}: a report of format {report['format']}, this voiceae reads {FORMAT}; evaluate again"
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is not a report of voiceae evaluate ({error})") from None
    return dict(report)


def _column(evaluation: Evaluation, row: str, figure: str) -> dict[str, float]:
    """Values of a figure by pair, those that there are and are finite."""
    found = {name: values.get(row, {}).get(figure) for name, values in evaluation.values.items()}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _pair(pair: Pair, evaluation: Evaluation, root: Path) -> dict[str, Any]:
    def name(clip: Clip | None) -> str | None:
        if clip is None:
            return None
        path, top = clip.path.resolve(), root.resolve()
        return str(path.relative_to(top)) if path.is_relative_to(top) else clip.path.name

    keys = {"source": str(pair.source.path), "conversion": f"{pair.name}/conversion"}
    content = {row: evaluation.measurements.get(key, {}).get("content") for row, key in keys.items()}
    return {
        "name": pair.name,
        "source": name(pair.source),
        "source_speaker": pair.source.speaker,
        "target_speaker": pair.scored.speaker,
        "references": [name(clip) for clip in pair.references],
        "scored": name(pair.scored),
        "natural": name(pair.natural),
        "source_other": name(pair.source_other),
        "source_reference": name(pair.source_reference),
        "same_sentence": name(pair.same_sentence),
        "cross_gender": pair.cross_gender,
        "seconds": round(pair.source.seconds, 3),
        "transcripts": {row: each["transcript"] for row, each in content.items() if isinstance(each, dict)},
        "rows": {
            row: {name: value for name, value in figures.items() if name in FIGURES and math.isfinite(value)}
            for row, figures in evaluation.values.get(pair.name, {}).items()
        },
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclass(frozen=True)
class Change:
    """Change of one figure between two reports.

    Attributes:
        row: of the table.
        figure: of the row.
        before: mean in the first report.
        after: mean in the second.
        low: lower end of the interval of the difference.
        high: upper end of the interval of the difference.
        paired: whether both reports scored the same pairs, so that the difference is paired.
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


SCORER_OF = {
    **dict.fromkeys(("cer_recogniser", "wer_recogniser", "cer_text", "wer_text"), "content"),
    **dict.fromkeys(("f0_correlation", "f0_offset_semitones"), "pitch"),
}
"""Scorers of figures that have been, or can be, of different programs."""


def incomparable(first: Report, second: Report) -> dict[str, str]:
    """Scorers that are of different programs in two reports, whatever their versions, with the reason in a line."""
    reasons = {}
    for name in sorted(set(SCORER_OF.values())):
        programs = [str(report["scorers"].get(name, "")).partition("-")[0] for report in (first, second)]
        if all(programs) and programs[0] != programs[1]:
            reasons[name] = (
                f"{name}: not compared; {programs[0]} judged the first and {programs[1]} the second"
            )
    return reasons


def compare(first: Report, second: Report) -> list[Change]:
    """Every figure that both reports have; second minus first.

    Paired where both scored a row of the same pairs; otherwise the intervals are combined as independent. Figures of a
    scorer that stands for another program in the other report are left out.
    """
    other = incomparable(first, second)

    def values(report: Report, row: str, figure: str) -> dict[tuple[str, ...], float]:
        """By what was scored: the clips, not the name of the pair."""
        return {
            (pair["source"], *pair["references"], pair["scored"], pair["source_other"]): figures[figure]
            for pair in report["pairs"]
            if figure in (figures := pair["rows"].get(row, {}))
        }

    changes = []
    names = [
        (row, figure)
        for row, figures in second["rows"].items()
        for figure in figures
        if SCORER_OF.get(figure) not in other
    ]
    for row, figure in names:
        if figure not in first["rows"].get(row, {}):
            continue
        a, b = first["rows"][row][figure], second["rows"][row][figure]
        ours, theirs = values(second, row, figure), values(first, row, figure)
        if ours and ours.keys() == theirs.keys():
            interval = bootstrap([ours[key] - theirs[key] for key in ours], int(second["seed"]))
            changes.append(Change(row, figure, a["mean"], b["mean"], interval.low, interval.high, True))
            continue
        # Independent samples: the half-widths of a difference add as the roots of their squares.
        difference = b["mean"] - a["mean"]
        low = difference - math.hypot(b["mean"] - b["low"], a["high"] - a["mean"])
        high = difference + math.hypot(b["high"] - b["mean"], a["mean"] - a["low"])
        changes.append(Change(row, figure, a["mean"], b["mean"], low, high, False))
    return changes


NOT_ROWS = ("natural", "natural_dvector", "embeddings", "differences", "groups", "directions")
"""Parts of a report, beside its rows, whose figures may have tolerances."""


def read_tolerances(path: Path) -> dict[str, tuple[float, float]]:
    """Ranges by figure: a JSON object of `"row.figure": [low, high]`, either end null.

    "natural.subset.figure", "embeddings.encoders.model.two_channels.equal_error", "differences.row.figure",
    "groups.group.figure" and "directions.direction.figure" are figures too.

    Raises:
        ConfigError: when it is missing, or is something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): (-math.inf if low is None else float(low), math.inf if high is None else float(high))
            for name, (low, high) in table.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        wanted = '{"conversion.sim_target": [0.6, null], ...}'
        raise ConfigError(f"{path}: is not a table of tolerances like {wanted} ({error})") from None


def departures(report: Report, tolerances: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """One line for each figure that is out of its range, or is not there."""
    for name, (low, high) in tolerances.items():
        parts = name.split(".")
        found: Any = report if parts[0] in NOT_ROWS else report["rows"]
        for part in parts:
            found = found.get(part) if isinstance(found, dict) else None
        value = found.get("mean") if isinstance(found, dict) else found
        if value is None:
            yield f"{name}: is not in the report"
        elif not low <= value <= high:
            yield f"{name}: {value:.4g} is outside {low} to {high}"
