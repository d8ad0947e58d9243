"""The table of pairs that `convert` and `evaluate` read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voiceae.conversion.batch import PairRow, read_pair_rows
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
        (b"source,target,out\na,b\0,c\n", "line 2 holds a zero byte"),
        (
            b'source,target,out\na,b,"c\nd,e,f\n',
            "is not a table of pairs: unexpected end of data; look for a quote",
        ),
        (
            b"source;target;result\na;b;c\n",
            "no column out; .*names source, target, result, separated by semicolons",
        ),
        (b"source,target,target,out\na,b,c,d\n", "has the column target twice"),
        (
            b"source,target,out\na,b,c\n\na,b,c,d\n",
            "line 4 has 4 cells, the header 3; put cells that hold commas",
        ),
        (b"source,target,out\n,,\n,,\n", "holds no pairs"),
        ("source,target,out\na,b,c\n".encode("utf-16-le"), "line 1 holds a zero byte"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=reason):
        read_pair_rows(tmp_path / "p.csv", COLUMNS)
    with pytest.raises(CorpusError, match="No such file"):
        read_pair_rows(tmp_path / "none.csv", COLUMNS)


PAIR = [PairRow(2, "a b.wav", ("é.wav", "c,d.wav"), "o.wav")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "rows",
    [
        ["source,target,out", 'a b.wav,"é.wav;c,d.wav",o.wav', ",,"],
        ['Source;"TARGET"; out ;note', 'a b.wav;"é.wav;c,d.wav"; o.wav;', ";;;", ""],
        ["out\tsource\tn\ttarget", "o.wav\ta b.wav\t1,2\té.wav;c,d.wav", "\t\t\t"],
    ],
    ids=["commas", "semicolons", "tabs"],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, rows: list[str], end: str, encoding: str) -> None:
    (tmp_path / "p.csv").write_bytes(end.join(rows).encode(encoding))
    assert read_pair_rows(tmp_path / "p.csv", COLUMNS) == PAIR


def test_files_are_found_by_tables_in_latin(tmp_path: Path) -> None:
    from voiceae.data.corpora import list_recordings

    (tmp_path / "René").mkdir()
    (tmp_path / "René/é.wav").touch()
    broken = os.fsdecode(b"l\xe9n.wav")
    (tmp_path / broken).touch()
    (tmp_path / "t.csv").write_bytes(b"path,speaker\nRen\xe9/\xe9.wav,Ren\xe9\nl\xe9n.wav,b\n")
    with pytest.warns(UserWarning, match="line 2 is not in UTF-8; read as Latin-1"):
        found = list_recordings("csv", tmp_path / "t.csv")
    assert [(each.path, each.speaker) for each in found] == [
        (tmp_path / "René/é.wav", "René"),
        (tmp_path / broken, "b"),
    ]


def test_a_column_that_is_not_asked_for_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("source,target\na,b\n")
    assert read_pair_rows(tmp_path / "p.csv", COLUMNS[:2]) == [PairRow(2, "a", ("b",), "")]
