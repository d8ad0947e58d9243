"""Many conversions in one go: a bad row is reported, the others are converted."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from voiceae.audio import io
from voiceae.errors import AudioError, OutputError, VoiceAEError
from voiceae.files import require_new

if TYPE_CHECKING:
    from voiceae.inference.heard import Heard
    from voiceae.inference.voice import Voice

COLUMNS = ("source", "target", "out")


@dataclass(frozen=True)
class Pair:
    """One row of a table of pairs, as written there.

    Attributes:
        line: in the file, from 1.
        source: path below the root.
        targets: paths below the root, or stored embeddings there.
        out: path below the output folder.
    """

    line: int
    source: str
    targets: tuple[str, ...]
    out: str


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, and why; the reason names the file."""

    where: str
    reason: str


@dataclass
class PairConverter:
    """Converts rows, keeping what was heard of targets that occur again.

    Args:
        voice: the model.
        root: folder that sources and targets are relative to.
        out_dir: folder that results go to.
        force: overwrite existing files.
    """

    voice: Voice
    root: Path
    out_dir: Path
    force: bool = False
    _heard: dict[str, Heard] = field(default_factory=dict)
    _written: set[Path] = field(default_factory=set)

    def convert(self, pair: Pair) -> None:
        """Convert one row.

        Raises:
            VoiceAEError: when it cannot be done; nothing is written then.
        """
        out = self._out(pair)
        target = [self._listen(each) for each in pair.targets]
        audio = self.voice.convert(self.root / pair.source, target)
        io.write(out, audio, force=self.force)
        self._written.add(out)

    def _out(self, pair: Pair) -> Path:
        """Where the row goes, refused before the work is done."""
        if not (pair.source and pair.out and pair.targets):
            raise AudioError("an empty cell; every row needs source, target and out")
        path = PurePath(pair.out)
        if path.is_absolute() or ".." in path.parts:
            raise OutputError(f"{pair.out}: leaves the output folder; give a path inside it")
        out = self.out_dir / path
        if out in self._written:
            raise OutputError(f"{out}: is the result of an earlier row too; give every row its own name")
        require_out(out, self.force)
        return out

    def _listen(self, target: str) -> Heard:
        path = str(self.root / target)
        if path not in self._heard:
            self._heard[path] = self.voice.listen(path)
        return self._heard[path]


def convert_pairs(
    converter: PairConverter,
    pairs: Iterable[Pair],
    watch: Callable[[Iterable[Pair]], Iterable[Pair]] = iter,
) -> list[Failure]:
    """Convert all rows that can be converted; returns those that cannot.

    Args:
        converter: knows the model and the folders.
        pairs: the rows.
        watch: wraps the rows, for a progress bar.
    """
    failures = []
    for pair in watch(pairs):
        try:
            converter.convert(pair)
        except VoiceAEError as error:
            failures.append(Failure(f"line {pair.line}", str(error)))
    return failures


def read_pairs(path: str | Path) -> list[Pair]:
    """Rows of a CSV with the columns source, target and out; several targets are joined by `;`.

    Raises:
        AudioError: when the table is missing, not text, empty or lacks a column.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _require_columns(path, reader.fieldnames)
            pairs = [_pair(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not a CSV table in UTF-8"
        raise AudioError(f"{path}: cannot be read as a table of pairs: {reason}") from None
    if not pairs:
        raise AudioError(f"{path}: holds no pairs; give one row each below the header")
    return pairs


def require_out(path: Path, force: bool) -> None:
    """Refuse an output file before the work is done rather than after it.

    Raises:
        OutputError: for a suffix that cannot be written, or an existing file without `force`.
    """
    if path.suffix.lower() not in io.SUFFIXES:
        raise OutputError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {_known()}")
    require_new(path, force)


def _known() -> str:
    return ", ".join(io.SUFFIXES)


def _require_columns(path: Path, names: Sequence[str] | None) -> None:
    missing = [name for name in COLUMNS if name not in (names or ())]
    if missing:
        raise AudioError(
            f"{path}: has no column {' and '.join(missing)}; its first line must name {', '.join(COLUMNS)}"
        )


def _pair(line: int, row: dict[str, str | None]) -> Pair:
    source, target, out = ((row[name] or "").strip() for name in COLUMNS)
    return Pair(line, source, tuple(each.strip() for each in target.split(";") if each.strip()), out)
