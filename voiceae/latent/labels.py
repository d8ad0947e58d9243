"""What is known of speakers: one column of a table, and the two classes that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voiceae.errors import CorpusError, did_you_mean
from voiceae.io.csvtable import read_table


@dataclass(frozen=True)
class Classes:
    """Two sides of an attribute.

    Attributes:
        negative: what the side is called that a negative amount leads to.
        positive: the other.
        members: by speaker, whether on the positive side; who is neither is not in it.
    """

    negative: str
    positive: str
    members: Mapping[str, bool]


def read_labels(path: str | Path, column: str, key: str = "speaker") -> dict[str, str]:
    """One column of a CSV by speaker; empty cells are left out.

    Args:
        path: the table, with a header.
        column: that is wanted.
        key: column of the speakers' names.

    Raises:
        CorpusError: when the table is missing, not text, has no such column, says two things of one speaker, or
            says nothing at all.
    """
    table = read_table(path, (key, column), "a table of speakers")
    rows = [(row.cells[key.lower()], row.cells[column.lower()]) for row in table]
    labels: dict[str, str] = {}
    for speaker, value in rows:
        if speaker and value and labels.setdefault(speaker, value) != value:
            raise CorpusError(f"{path}: {speaker} is both {labels[speaker]} and {value} in {column}")
    if not labels:
        raise CorpusError(f"{path}: says nothing in its column {column}")
    return labels


def two_classes(
    labels: Mapping[str, str], *, at: float | None = None, positive: str | None = None
) -> Classes:
    """Two classes of a column: its two values, one value against all others, or numbers on either side of one.

    Args:
        labels: value by speaker.
        at: numbers from here on are the positive side.
        positive: the value that a positive amount leads to; the last in the alphabet by default.

    Raises:
        CorpusError: when the column does not make two classes in this way.
    """
    if at is not None:
        return _split(labels, at, positive)
    values = sorted(set(labels.values()))
    if positive is not None and positive not in values:
        raise CorpusError(f"{positive}: no such value in the column; {did_you_mean(positive, values)}")
    if len(values) != 2 and positive is None:
        some = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
        raise CorpusError(
            f"the column has {len(values)} values ({some}), an attribute has two sides; "
            "give --positive VALUE, or --at NUMBER to split numbers"
        )
    positive = positive or values[-1]
    others = [value for value in values if value != positive]
    if not others:
        raise CorpusError(f"everybody is {positive}; an attribute has two sides")
    negative = others[0] if len(others) == 1 else f"not {positive}"
    return Classes(negative, positive, {speaker: value == positive for speaker, value in labels.items()})


def _split(labels: Mapping[str, str], at: float, positive: str | None) -> Classes:
    names = f"below {at:g}", f"{at:g} and above"
    if positive not in (None, *names):
        raise CorpusError(f"{positive}: a split of numbers has the sides {names[0]!r} and {names[1]!r}")
    try:
        upper = {speaker: float(value) >= at for speaker, value in labels.items()}
    except ValueError as error:
        raise CorpusError(f"--at splits numbers, the column has others: {error}") from None
    if len(set(upper.values())) < 2:
        raise CorpusError(f"--at {at:g}: all speakers are on one side of it")
    if positive == names[0]:
        return Classes(names[1], names[0], {speaker: not value for speaker, value in upper.items()})
    return Classes(names[0], names[1], upper)
