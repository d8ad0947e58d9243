"""Many conversions in one go: a bad row is reported, the others are converted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from voiceae.audio import io
from voiceae.data.pairs import PairRow
from voiceae.errors import AudioError, OutputError, VoiceAEError
from voiceae.files import require_new

if TYPE_CHECKING:
    from voiceae.inference.heard import Heard
    from voiceae.inference.voice import Voice


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

    def convert(self, pair: PairRow) -> None:
        """Convert one row.

        Raises:
            VoiceAEError: when it cannot be done; nothing is written then.
        """
        out = self._out(pair)
        target = [self._listen(each) for each in pair.targets]
        audio = self.voice.convert(self.root / pair.source, target)
        io.write(out, audio, force=self.force)
        self._written.add(out)

    def _out(self, pair: PairRow) -> Path:
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
    pairs: Iterable[PairRow],
    watch: Callable[[Iterable[PairRow]], Iterable[PairRow]] = iter,
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
