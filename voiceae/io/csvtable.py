"""CSV tables as spreadsheets write them, in any separator and encoding; errors name the line."""

from __future__ import annotations

import codecs
import csv
import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from voiceae.errors import CorpusError
from voiceae.io.filesystem import explain

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_FILES = ("path", "source", "target")  # columns of file names, whose bytes are kept
_MARKS = (  # byte order marks; UTF-32 before UTF-16, whose little-endian mark begins alike
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        line: in the file, from 1; the last one, where a cell has several.
        cells: by the name of the column, in lower case; stripped, empty where the row is shorter than the header.
    """

    line: int
    cells: Mapping[str, str]


def read_table(path: str | Path, columns: Sequence[str], what: str) -> list[TableRow]:
    """Rows of a table with a header, whatever its separator, encoding and line ends; empty rows are left out.

    Separated by commas, semicolons, tabs or bars; in UTF-8, UTF-16 or UTF-32. Text in none of these is taken for
    Latin-1, with a warning; but cells that name files keep their bytes, as names of files do (`os.fsdecode`), and
    `find_named_file` finds the files. Names of columns are compared without case, spaces around them and quotes.

    Args:
        path: the file.
        columns: required ones.
        what: kind of table, for messages ("a table of pairs").

    Raises:
        CorpusError: when it is missing, is no text, lacks a column or has one twice, or a row does not fit the header.
    """
    text = _decoded(Path(path), what)
    head = next((line for line in text.splitlines() if line.strip()), "")
    required = [name.lower() for name in columns]
    separator = max(_SEPARATORS, key=lambda each: (_matches(head, each, required), head.count(each)))
    try:
        rows = list(_rows(path, text, separator))
    except csv.Error as error:
        raise CorpusError(f"{path}: is not {what}: {error}; look for a quote that is not closed") from None
    found = list(rows[0].cells) if rows else _names(head, separator)
    missing = [name for name in columns if name.lower() not in found]
    if missing:
        parted = f", separated by {_SEPARATORS[separator]}" if len(found) > 1 else ""
        near = get_close_matches(missing[0].lower(), found, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise CorpusError(
            f"{path}: has no column {' and '.join(missing)}; {meant}its first line must name {', '.join(columns)}, "
            f"and names {', '.join(found) or 'nothing'}{parted}"
        )
    odd = next((n for n, each in enumerate(text.split("\n"), 1) if not _is_utf8(each)), None)
    if odd is not None:
        warnings.warn(f"{path}: line {odd} is not in UTF-8; read as Latin-1", stacklevel=3)
        for place, row in enumerate(rows):
            other = {
                name: os.fsencode(cell).decode("latin-1")
                for name, cell in row.cells.items()
                if name not in _FILES and not _is_utf8(cell)
            }
            rows[place] = replace(row, cells={**row.cells, **other})
    return rows


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text)


def find_named_file(root: Path, cell: str) -> Path:
    """Path of the file that a cell names; where there is none, the one of the same name in Latin-1.

    Tables and the names of files are not always in one encoding.

    Args:
        root: folder that it is relative to.
        cell: of a table.
    """
    path = root / cell
    if cell.isascii() or os.path.lexists(path):
        return path
    data = os.fsencode(cell)
    others = [data.decode("latin-1")]  # the table is in Latin-1, the names in UTF-8
    with suppress(UnicodeEncodeError):
        others.append(os.fsdecode(cell.encode("latin-1")))  # or the other way about
    return next((root / each for each in others if os.path.lexists(root / each)), path)


def _decoded(path: Path, what: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read as {what}: {explain(error)}") from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not text in {encoding} ({error}); save it as CSV in UTF-8") from None
    zero = text.find("\0")
    if zero >= 0:
        line = text.count("\n", 0, zero) + 1
        raise CorpusError(
            f"{path}: line {line} holds a zero byte, so it is not {what} in UTF-8; save it as CSV in UTF-8"
        )
    return text


def _names(head: str, separator: str) -> list[str]:
    cells = next(csv.reader([head], delimiter=separator, skipinitialspace=True), [])
    return [cell.strip().strip("\"'").lower() for cell in cells]


def _matches(head: str, separator: str, required: Sequence[str]) -> int:
    try:
        return len(set(_names(head, separator)) & set(required))
    except csv.Error:
        return 0


def _rows(path: str | Path, text: str, separator: str) -> Iterator[TableRow]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    names: list[str] = []
    for cells in lines:
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if not names:
            names = [value.strip("\"'").lower() for value in values]
            twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
            if twice:
                raise CorpusError(f"{path}: has the column {twice[0]} twice; leave one")
            continue
        if any(values[len(names) :]):
            raise CorpusError(
                f"{path}: line {lines.line_num} has {len(values)} cells, the header {len(names)}; "
                f"put cells that hold {_SEPARATORS[separator]} into quotes"
            )
        values += [""] * (len(names) - len(values))
        yield TableRow(lines.line_num, dict(zip(names, values, strict=False)))
