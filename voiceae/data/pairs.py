"""A table of pairs, as `voiceae convert --pairs` and `voiceae evaluate --pairs` read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voiceae.data.csvtable import TableRow, read_table
from voiceae.errors import CorpusError


@dataclass(frozen=True)
class PairRow:
    """One row, as written there.

    Attributes:
        line: in the file, from 1; 0 for a row that no table holds.
        source: path below the root.
        targets: paths below the root, or stored embeddings there.
        out: path below the folder of results; empty where the table does not say.
    """

    line: int
    source: str
    targets: tuple[str, ...]
    out: str

    @property
    def where(self) -> str:
        """What to call the row in messages."""
        return f"line {self.line}" if self.line else self.source


def read_pair_rows(path: str | Path, columns: Sequence[str]) -> list[PairRow]:
    """Rows of a table; several targets are joined by `;`, columns that are not asked for are ignored.

    Args:
        path: the table.
        columns: that it must have, of source, target and out.

    Raises:
        CorpusError: when the table is missing, not text, empty or lacks a column; see `read_table`.
    """
    rows = [_row(row) for row in read_table(path, columns, "a table of pairs")]
    if not rows:
        raise CorpusError(f"{path}: holds no pairs; give one row each below the header")
    return rows


def _row(row: TableRow) -> PairRow:
    source, target, out = (row.cells.get(name, "") for name in ("source", "target", "out"))
    return PairRow(row.line, source, tuple(each.strip() for each in target.split(";") if each.strip()), out)
