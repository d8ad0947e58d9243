"""The table of pairs that `convert` and `evaluate` read."""

from __future__ import annotations

from pathlib import Path

import pytest

from voiceae.data.pairs import PairRow, read_pair_rows
from voiceae.errors import CorpusError

COLUMNS = ("source", "target", "out")


def test_cells_are_stripped_and_targets_split(tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text(
        '\ufeffid,out,source,target\n1,"x,1.wav",a b.wav,é.wav; c.wav;\n\n2,y.wav,,c.wav\n', encoding="utf-8"
    )
    assert read_pair_rows(table, COLUMNS) == [
        PairRow(2, "a b.wav", ("é.wav", "c.wav"), "x,1.wav"),
        PairRow(4, "", ("c.wav",), "y.wav"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no column source and target and out"),
        (b"source,out\na,b\n", "no column target"),
        (b"source,target,out\n", "holds no pairs"),
        (b"source,target,out\n\xff\xfe,\xfa,b\n", "not a CSV table in UTF-8"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=reason):
        read_pair_rows(tmp_path / "p.csv", COLUMNS)
    with pytest.raises(CorpusError, match="No such file"):
        read_pair_rows(tmp_path / "none.csv", COLUMNS)


def test_a_column_that_is_not_asked_for_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("source,target\na,b\n")
    assert read_pair_rows(tmp_path / "p.csv", COLUMNS[:2]) == [PairRow(2, "a", ("b",), "")]
