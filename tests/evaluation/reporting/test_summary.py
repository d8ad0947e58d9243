"""The words of a report are its figures' own: verdict, tables, notes, ranking."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.reporting.report_samples import evaluated, rows, ten_pairs
from voiceae.evaluation.report import Report
from voiceae.evaluation.reporting.summary import (
    TRAINED_ON,
    examples,
    headlines,
    notes,
    ranked_pairs,
    settings,
    tables,
    verdict,
)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return evaluated(tmp_path, ten_pairs())[0]


def test_the_verdict_says_the_means_of_the_conversions(report: Report) -> None:
    words = np.mean([0.2 + 0.05 * i for i in range(10)])
    assert verdict(report) == (
        "On 10 pairs of speakers, the conversion is nearer to the target than to the source in 80 %, passes for the "
        f"target in 50 %, has {100 * words:.0f} words in 100 heard wrong (20 after the vocoder alone) and is graded "
        "3.45 of 5 for its sound (the recordings 4.00)."
    )


def test_speakers_are_called_unheard_only_where_those_of_the_training_are_known(tmp_path: Path) -> None:
    known = {"model": "tested", TRAINED_ON: 400}
    report, _ = evaluated(tmp_path, ten_pairs(), about=known)
    assert verdict(report).startswith("On 10 pairs of speakers it never heard, the conversion is nearer")


def test_a_figure_of_fewer_pairs_says_so(tmp_path: Path) -> None:
    values = ten_pairs()
    del values["p3"]["conversion"]["wer_recogniser"]
    report, _ = evaluated(tmp_path, values)
    assert " words in 100 heard wrong of 9 (20 after" in verdict(report)
    table = next(table for table in tables(report) if table.title == "Words")
    assert ["conversion", "9"] in [row[:2] for row in table.rows]


def test_one_pair_has_a_verdict_and_no_intervals(tmp_path: Path) -> None:
    report, _ = evaluated(tmp_path, {"only": rows(0.75, 0.4, 3.0)})
    assert verdict(report).startswith("On 1 pair of speakers, the conversion is nearer")
    assert not any("(" in row[2] for row in headlines(report).rows)


def test_figures_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    values = {"a": rows(math.nan, 0.4, 3.0), "b": rows(0.7, math.nan, math.inf)}
    report, _ = evaluated(tmp_path, values)
    assert report["rows"]["conversion"]["sim_target"]["n"] == 1
    assert report["rows"]["conversion"]["ovrl"]["mean"] == 3.0
    # Reports that were written before may still hold them.
    report["rows"]["conversion"]["ovrl"]["mean"] = math.nan
    assert "nan" not in verdict(report).lower() and "of 5 for its sound" not in verdict(report)
    assert "sound as a whole" not in [row[0] for row in headlines(report).rows]
    cells = [cell for table in tables(report) for row in table.rows for cell in row]
    assert "–" in cells and not any("nan" in cell.lower() for cell in cells)


def test_without_judges_the_verdict_and_the_notes_say_so(tmp_path: Path) -> None:
    reason = "scorer speaker: not installed; pip install voiceae[eval]"
    pitch = {"conversion": {"f0_offset_semitones": 1.0}, "source": {"f0_offset_semitones": 9.0}}
    report, _ = evaluated(tmp_path, {"a": pitch, "b": pitch}, missing={"speaker": reason})
    assert (
        verdict(report) == "On 2 pairs of speakers, nothing judged the conversion's likeness, words or sound."
    )
    assert notes(report) == [f"No figures of {reason}"]
    assert headlines(report).rows == []
    assert [table.title for table in tables(report)] == ["Melody and spectrum"]
    nothing, _ = evaluated(tmp_path, {"a": {}})
    assert verdict(nothing) == "No conversion was judged; the notes say why."


def test_headlines_stand_between_floor_and_ceiling(report: Report) -> None:
    by_figure = {row[0]: row[1:] for row in headlines(report).rows}
    unit, conversion, floor, ceiling = by_figure["likeness to the target"]
    mean = report["rows"]["conversion"]["sim_target"]
    assert conversion == f"{mean['mean']:.2f} ({mean['low']:.2f} to {mean['high']:.2f})"
    assert (unit, floor, ceiling) == ("cosine, higher is better", "source 0.50", "target's own 0.90")
    assert by_figure["words heard wrong"][2:] == ["chance 100 %", "copy-synthesis 20 %"]
    assert by_figure["nearer to the target"][2:] == ["", ""]


def test_tables_have_words_for_headers_and_the_number_of_pairs_once_a_row(report: Report) -> None:
    found = {table.title: table for table in tables(report)}
    assert {"Voice", "Words", "Sound"} <= found.keys()
    for table in found.values():
        assert all(len(row) == len(table.head) for row in table.rows)
        assert not any("_" in words for words, _ in table.head)
        assert not any("n=" in cell for row in table.rows for cell in row)
    assert found["Sound"].head[:3] == [
        ("", ""),
        ("pairs", ""),
        ("sound as a whole", "grade, 1 to 5, higher is better"),
    ]
    assert found["Sound"].rows[-1][:2] == ["conversion", "10"]


def test_figures_of_a_teacher_and_of_a_second_encoder_are_marked_and_come_later(tmp_path: Path) -> None:
    values = ten_pairs()
    for figures in values.values():
        for row in ("source", "target", "conversion"):
            figures[row]["sim_target_dvector"] = figures[row]["sim_target"]
    report, _ = evaluated(tmp_path, values)
    names = [row[0] for row in headlines(report).rows]
    assert names.index("likeness to the target") < names.index("likeness to the target, d-vector")
    report["teachers"] = {"dvector": "a network"}
    assert "likeness to the target, d-vector (a teacher's)" in [row[0] for row in headlines(report).rows]
    assert "likeness to the target" in [row[0] for row in headlines(report).rows]


def test_directions_are_a_table(report: Report) -> None:
    assert not any(table.title.startswith("By direction") for table in tables(report))
    report = copy.deepcopy(report)
    report["directions"] = {"female to male": report["rows"]["conversion"]}
    report["directions_by"] = "the sexes"
    (table,) = (table for table in tables(report) if table.title == "By direction: the sexes")
    assert table.rows[0][:2] == ["female to male", "10"]


def test_equal_error_rates_of_the_embeddings_are_a_table(report: Report) -> None:
    rate = {"equal_error": {"mean": 0.031, "low": 0.02, "high": 0.04}}
    report["embeddings"] = {
        "protocol": "all trials",
        "encoders": {"model": {"one_channel": rate, "two_channels": rate}},
    }
    (table,) = (table for table in tables(report) if table.title == "Speaker embeddings")
    assert table.rows[0][1].startswith("3.1%") and len(table.rows[0]) == len(table.head)
    assert table.legend == ["all trials"]


def test_pairs_rank_by_their_mean_place(report: Report) -> None:
    assert [pair["name"] for pair in ranked_pairs(report)] == [f"p{i}" for i in range(10)]
    shown, more = examples(report)
    assert {title: pair["name"] for title, pair in shown.items()} == {
        "Best: place 1 of 10": "p0",
        "Middle: place 5 of 10": "p4",
        "Worst: place 10 of 10": "p9",
    }
    others = [pair["name"] for pair in more.values()]
    assert others == sorted(others) and len(others) == 6 and not {"p0", "p4", "p9"} & set(others)


def test_a_pair_that_is_best_in_one_thing_alone_is_not_the_best(tmp_path: Path) -> None:
    values = {"like": rows(0.9, 0.9, 2.0), "clear": rows(0.8, 0.2, 3.0), "fair": rows(0.7, 0.4, 2.5)}
    report, _ = evaluated(tmp_path, values)
    # Places: like 1 + 3 + 3, clear 2 + 1 + 1, fair 3 + 2 + 2; the last two are equal and stand by name.
    assert [pair["name"] for pair in ranked_pairs(report)] == ["clear", "fair", "like"]


def test_pairs_without_some_figure_are_not_ranked(tmp_path: Path) -> None:
    values = ten_pairs()
    values["p0"]["conversion"]["ovrl"] = math.nan
    del values["p9"]["conversion"]["sim_target"]
    report, _ = evaluated(tmp_path, values)
    assert [pair["name"] for pair in ranked_pairs(report)] == [f"p{i}" for i in range(1, 9)]


@pytest.mark.parametrize(
    ("n", "titles"), [(1, ["The only pair"]), (2, ["Best: place 1 of 2", "Worst: place 2 of 2"])]
)
def test_few_pairs_have_no_middle(tmp_path: Path, n: int, titles: list[str]) -> None:
    report, _ = evaluated(tmp_path, dict(list(ten_pairs().items())[:n]))
    shown, more = examples(report)
    assert list(shown) == titles and not more


def test_settings_hold_fingerprints_in_words(tmp_path: Path) -> None:
    about = {
        "model": "tested",
        "seconds per second of audio": {"model": 0.0105, "vocoder": 0.014},
        "teachers": [],
    }
    report, _ = evaluated(tmp_path, ten_pairs(), about=about)
    found = dict(settings(report))
    assert found["seconds per second of audio"] == "model 0.0105, vocoder 0.014"
    assert found["teachers"] == "none" and found["seed"] == "0"
