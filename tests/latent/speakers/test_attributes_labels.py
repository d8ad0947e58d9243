from __future__ import annotations

from pathlib import Path

import pytest

from voiceae.errors import CorpusError
from voiceae.latent.speakers.attributes import read_labels, two_classes

TABLE = "speaker,gender,age\na,f,9\nb,m,\nc,m,30\n\nb,m,\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path / "t.csv"


def test_empty_cells_are_left_out(table: Path) -> None:
    assert read_labels(table, "gender") == {"a": "f", "b": "m", "c": "m"}
    assert read_labels(table, "age") == {"a": "9", "c": "30"}
    assert read_labels(table, "age", key="gender") == {"f": "9", "m": "30"}


def test_bad_tables_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="has no column gendr; did you mean gender"):
        read_labels(table, "gendr")
    with pytest.raises(CorpusError, match="No such file"):
        read_labels(tmp_path / "none.csv", "gender")
    table.write_text(TABLE + "a,m,9\n")
    with pytest.raises(CorpusError, match="a is both f and m"):
        read_labels(table, "gender")
    table.write_bytes(b"\x00bad")
    with pytest.raises(
        CorpusError, match="line 1 holds a zero byte, so it is not a table of speakers in UTF-8"
    ):
        read_labels(table, "gender")
    table.write_text("speaker,gender\na,\n")
    with pytest.raises(CorpusError, match="says nothing"):
        read_labels(table, "gender")


def test_two_values_are_two_sides() -> None:
    classes = two_classes({"a": "f", "b": "m"})
    assert (classes.negative, classes.positive, classes.members) == ("f", "m", {"a": False, "b": True})
    assert two_classes({"a": "f", "b": "m"}, positive="f").members == {"a": True, "b": False}


def test_one_value_against_the_others() -> None:
    classes = two_classes({"a": "x", "b": "y", "c": "z"}, positive="y")
    assert classes.negative == "not y" and classes.members == {"a": False, "b": True, "c": False}


def test_numbers_are_split() -> None:
    classes = two_classes({"a": "9", "b": "16", "c": "30"}, at=16)
    assert (classes.negative, classes.positive) == ("below 16", "16 and above")
    assert classes.members == {"a": False, "b": True, "c": True}
    turned = two_classes({"a": "9", "b": "16"}, at=16, positive="below 16")
    assert turned.positive == "below 16" and turned.members == {"a": True, "b": False}


@pytest.mark.parametrize(
    ("labels", "options", "reason"),
    [
        ({"a": "1", "b": "2", "c": "3"}, {}, "3 values .*--at"),
        ({"a": "f"}, {"positive": "f"}, "everybody is f"),
        ({"a": "f", "b": "m"}, {"positive": "male"}, "no such value"),
        ({"a": "f", "b": "9"}, {"at": 5.0}, "splits numbers"),
        ({"a": "1", "b": "2"}, {"at": 5.0}, "on one side"),
        ({"a": "1", "b": "2"}, {"at": 1.5, "positive": "old"}, "has the sides"),
    ],
)
def test_what_does_not_make_two_classes(labels: dict[str, str], options: dict, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        two_classes(labels, **options)
