"""The report as Markdown: first the verdict, then a table in words, settings last."""

from __future__ import annotations

from pathlib import Path

from tests.evaluation.reporting.report_samples import evaluated, ten_pairs
from voiceae.evaluation.evaluation import Exclusion
from voiceae.evaluation.reporting.markdown import markdown
from voiceae.evaluation.reporting.summary import verdict


def test_the_verdict_comes_first_and_the_settings_last(tmp_path: Path) -> None:
    report, _ = evaluated(tmp_path, ten_pairs())
    parts = markdown(report).split("\n\n")
    assert parts[:3] == ["# Evaluation", verdict(report), "## In short"]
    assert parts[3].startswith("| figure | unit | conversion | floor | ceiling |\n| --- ")
    assert parts[-2] == "## Settings and fingerprints" and "- model: tested" in parts[-1]
    assert "sim_target" not in markdown(report)


def test_every_table_has_as_many_cells_a_row_as_its_head(tmp_path: Path) -> None:
    bad = Exclusion("a|b", "x <b>.wav: is\nsilent | odd")
    text = markdown(evaluated(tmp_path, ten_pairs(), excluded=[bad])[0])
    assert "| a\\|b | all | x &lt;b>.wav: is silent \\| odd |" in text
    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        widths = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(widths) == 1, table
