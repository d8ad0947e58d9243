"""The chart: what stands where between floor and ceiling."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.evaluation.reporting.report_samples import evaluated, rows, ten_pairs
from voiceae.evaluation.reporting.chart import chart, way


def axes(drawn: str) -> dict[str, ET.Element]:
    """The part of each figure, by its words."""
    return {part.findtext("text", ""): part for part in ET.fromstring(drawn)}


def position(part: ET.Element, kind: str, of: str) -> float:
    return float(next(each for each in part if each.get("class") == kind).get(of, "").rstrip("%"))


def test_the_dot_is_where_its_mean_is_between_the_ends(tmp_path: Path) -> None:
    report, _ = evaluated(tmp_path, ten_pairs())
    found = axes(chart(report))
    assert set(found) == {
        "likeness to the target",
        "passes for the target",
        "words heard wrong",
        "sound as a whole",
    }
    for words, value, floor, ceiling in (
        ("likeness to the target", 0.685, 0.5, 0.9),
        ("words heard wrong", 0.425, 1.0, 0.2),  # down is better: its floor is the greater number
        ("sound as a whole", 3.45, 2.0, 4.0),
    ):
        part = found[words]
        left, right = (float(each.get("x1", "").rstrip("%")) for each in part if each.get("class") == "end")
        dot = position(part, "mean", "cx")
        assert (dot - left) / (right - left) == pytest.approx((value - floor) / (ceiling - floor), abs=1e-3)
        start, width = position(part, "interval", "x"), position(part, "interval", "width")
        assert start < dot < start + width
        assert 0 < left < right < 100


def test_what_lies_far_outside_stays_on_the_picture(tmp_path: Path) -> None:
    report, _ = evaluated(tmp_path, {"a": rows(-1.0, 9.0, 5.0), "b": rows(-0.9, 8.0, 5.0)})
    for part in axes(chart(report)).values():
        assert 0 <= position(part, "mean", "cx") <= 100
        assert position(part, "interval", "x") + position(part, "interval", "width") <= 100


def test_without_floor_or_ceiling_there_is_no_axis(tmp_path: Path) -> None:
    values = {"a": rows(0.7, 0.4, 3.0)}
    del values["a"]["copy"]
    values["a"]["transfer"]["ovrl"] = 4.0  # as good as the recordings: no way between them
    assert set(axes(chart(evaluated(tmp_path, values)[0]))) == {
        "likeness to the target",
        "passes for the target",
    }
    pitch = {"conversion": {"f0_offset_semitones": 1.0}}
    assert chart(evaluated(tmp_path, {"a": pitch})[0]) == ""


def test_way_is_nought_at_the_floor_and_one_at_the_ceiling() -> None:
    assert (way(2.0, 2.0, 4.0), way(4.0, 2.0, 4.0), way(0.4, 1.0, 0.2)) == (0, 1, pytest.approx(0.75))
