"""The report of an evaluation as plain data: everything that another run needs to be compared with it."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from voiceae.errors import ConfigError
from voiceae.evaluation import natural_speech as natural
from voiceae.evaluation import pairs
from voiceae.evaluation.evaluation import Evaluation
from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.scores import RESAMPLES, Interval, bootstrap, equal_error
from voiceae.evaluation.systems import ROWS
from voiceae.io.filesystem import atomic_path

Report: TypeAlias = dict[str, Any]

FORMAT = 1
EER_RESAMPLES = 200
LIBRARIES = (
    "voiceae",
    "numpy",
    "torch",
    "librosa",
    "resemblyzer",
    "pocketsphinx",
    "speechmos",
    "pyworld",
    "jiwer",
)

FIGURES = {
    "sim_target": "similarity to another clip of the target (cosine)",
    "sim_source": "similarity to another clip of the source's speaker (cosine)",
    "sim_source_clip": "similarity to the source clip itself (cosine)",
    "accepted": "share accepted as the target at the natural equal-error threshold",
    "nearer_target": "share nearer to the target than to the source's speaker, each by another clip",
    "nearer_target_than_clip": "share nearer to the target than to the source clip itself",
    "eer_target": "equal error rate of telling the row from other clips of the target (0.5: cannot be told)",
    "cer_recogniser": "character error rate against the recogniser's own transcript of the source",
    "wer_recogniser": "word error rate against the recogniser's own transcript of the source",
    "cer_text": "character error rate against the text, where there is one",
    "wer_text": "word error rate against the text, where there is one",
    "sig": "DNSMOS SIG",
    "bak": "DNSMOS BAK",
    "ovrl": "DNSMOS OVRL",
    "f0_correlation": "correlation of log F0 with the source, frames voiced in both",
    "f0_offset_semitones": "distance of the mean log F0 from the target's, semitones",
    "mcd_db": "mel-cepstral distortion from the target's own reading, aligned, dB",
}
"""Figures by name, and what they are, in the order of the tables."""

PROTOCOL = [
    pairs.PROTOCOL,
    natural.PROTOCOL,
    "Speakers that the model was trained on are left out. No conversion is scored on a clip that it heard.",
    "Error rates ignore case and punctuation; spaces count as characters. Means are over pairs.",
    f"Intervals: 95 %, bootstrap over pairs, {RESAMPLES} resamples ({EER_RESAMPLES} for equal error "
    "rates). Differences are paired.",
    "A pair that a judge cannot judge in one row is left out of all rows of that judge.",
]


def make_report(evaluation: Evaluation, *, about: Mapping[str, Any], seed: int, root: Path) -> Report:
    """Summarise an evaluation.

    Args:
        evaluation: the judged pairs.
        about: of the model, vocoder, corpus and speed, kept as they are.
        seed: that everything was drawn with.
        root: folder that paths are written relative to.
    """
    return {
        "format": FORMAT,
        "about": dict(about),
        "seed": seed,
        "protocol": PROTOCOL,
        "versions": _versions(),
        "judges": {**evaluation.versions, **evaluation.missing},
        "natural": evaluation.natural.subsets if evaluation.natural else {},
        "rows": row_intervals(evaluation, seed),
        "differences": differences(evaluation, seed),
        "groups": group_intervals(evaluation, seed),
        "excluded": [asdict(exclusion) for exclusion in evaluation.excluded],
        "pairs": [_pair(pair, evaluation, root) for pair in evaluation.pairs],
    }


def row_intervals(evaluation: Evaluation, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and interval by row and figure."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in ROWS:
        for figure in FIGURES:
            values = list(_column(evaluation, row, figure).values())
            if values:
                table.setdefault(row, {})[figure] = asdict(bootstrap(values, seed))
        scores = list(_column(evaluation, row, "sim_target").values())
        if scores and evaluation.natural:
            table[row]["eer_target"] = asdict(_verification(evaluation.natural.same, np.array(scores), seed))
    return table


def differences(evaluation: Evaluation, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Conversion minus every other row, pair by pair: interval by row and figure."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in ROWS:
        for figure in FIGURES:
            ours, theirs = (_column(evaluation, name, figure) for name in ("conversion", row))
            both = [ours[name] - theirs[name] for name in ours if name in theirs]
            if both and row != "conversion":
                table.setdefault(row, {})[figure] = asdict(bootstrap(both, seed))
    return table


def group_intervals(evaluation: Evaluation, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Conversions across and within the sexes: interval by group and figure."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, crossing in (("across the sexes", True), ("within a sex", False)):
        members = {pair.name for pair in evaluation.pairs if pair.crossing is crossing}
        for figure in FIGURES:
            column = _column(evaluation, "conversion", figure)
            values = [value for pair, value in column.items() if pair in members]
            if values:
                table.setdefault(name, {})[figure] = asdict(bootstrap(values, seed))
    return table


def write_report(report: Report, path: Path) -> None:
    """Write as JSON; the file appears only when it is complete.

    Raises:
        OutputError: when it cannot be written.
    """
    with atomic_path(path) as temporary:
        # Names of files that are not UTF-8 become JSON's own escapes, which `read_report` turns back.
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_report(path: Path) -> Report:
    """Read what `write_report` wrote.

    Raises:
        ConfigError: when there is none, or it is not a report of this format.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["format"] > FORMAT or not isinstance(report["rows"], dict):
            raise ConfigError(
                f"{path}: a report of format {report['format']}; this voiceae reads up to {FORMAT}"
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is not a report of voiceae evaluate ({error})") from None
    return dict(report)


def _column(evaluation: Evaluation, row: str, figure: str) -> dict[str, float]:
    """Values of a figure by pair, those that there are."""
    found = {name: values.get(row, {}).get(figure) for name, values in evaluation.values.items()}
    return {name: value for name, value in found.items() if value is not None}


def _verification(same: Any, scores: Any, seed: int) -> Interval:
    """Equal error rate between natural scores of one speaker and scores of a row, with its interval."""
    rng = np.random.default_rng(seed)
    drawn = [equal_error(same, rng.choice(scores, len(scores))).rate for _ in range(EER_RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(equal_error(same, scores).rate, float(low), float(high), len(scores))


def _pair(pair: Pair, evaluation: Evaluation, root: Path) -> dict[str, Any]:
    def name(clip: Clip | None) -> str | None:
        return None if clip is None else _relative(clip.path, root)

    return {
        "name": pair.name,
        "source": name(pair.source),
        "source_speaker": pair.source.speaker,
        "target_speaker": pair.scored.speaker,
        "heard": [name(clip) for clip in pair.heard],
        "scored": name(pair.scored),
        "natural": name(pair.natural),
        "source_other": name(pair.source_other),
        "source_heard": name(pair.source_heard),
        "same_sentence": name(pair.same_sentence),
        "crossing": pair.crossing,
        "seconds": round(pair.source.seconds, 3),
        "transcripts": _transcripts(pair, evaluation),
        "rows": {row: dict(figures) for row, figures in evaluation.values.get(pair.name, {}).items()},
    }


def _transcripts(pair: Pair, evaluation: Evaluation) -> dict[str, str]:
    keys = {"source": str(pair.source.path), "conversion": f"{pair.name}/conversion"}
    found = {row: evaluation.findings.get(key, {}).get("content") for row, key in keys.items()}
    return {row: each["transcript"] for row, each in found.items() if isinstance(each, dict)}


def _relative(path: Path, root: Path) -> str:
    absolute = path.resolve()
    return str(absolute.relative_to(root.resolve())) if absolute.is_relative_to(root.resolve()) else path.name


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
