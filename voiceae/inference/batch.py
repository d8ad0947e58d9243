"""Many conversions in one go: which rows, what becomes of each, and why one could not be done."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from voiceae.audio import io
from voiceae.data.csvtable import named_below
from voiceae.data.pairs import PairRow
from voiceae.errors import AudioError, OutputError
from voiceae.files import FILE_ERRORS, reason, require_new
from voiceae.threads import one_thread

if TYPE_CHECKING:
    from voiceae.inference.heard import Heard
    from voiceae.inference.voice import Voice

TARGETS_KEPT = 1024  # some 3 KB each; a table with more voices hears some of them again


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, and why; the reason names the file."""

    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a voice is loaded from; unlike the voice, it can be sent to another process."""

    model: str = "base"
    vocoder: str = "default"
    device: str = "auto"

    def load(self) -> Voice:
        """Load the voice; see `voiceae.load`."""
        from voiceae.inference.voice import load

        return load(self.model, self.vocoder, self.device)


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where a batch is read and written.

    Attributes:
        root: folder that sources and targets are relative to.
        out_dir: folder that results go to.
        force: overwrite existing files.
    """

    root: Path
    out_dir: Path
    force: bool = False


@dataclass
class PairConverter:
    """Converts rows, keeping what was heard of the latest targets.

    Args:
        voice: the model.
        folders: where things are.
    """

    voice: Voice
    folders: Folders
    _heard: OrderedDict[str, Heard] = field(default_factory=OrderedDict)

    def attempt(self, pair: PairRow) -> Failure | None:
        """Convert one row, or say why not."""
        try:
            self.convert(pair)
        except FILE_ERRORS as error:
            return Failure(pair.where, reason(error, pair.source))
        return None

    def convert(self, pair: PairRow) -> None:
        """Convert one row, on one thread, so that it does not matter how many processes share the work.

        Raises:
            VoiceAEError: when it cannot be done; nothing is written then.
        """
        out = result_path(pair, self.folders)
        require_out(out, self.folders.force)
        with one_thread():
            target = [self._listen(each) for each in pair.targets]
            source = named_below(self.folders.root, pair.source)
            self.voice.convert_file(source, target, out, force=self.folders.force)

    def _listen(self, target: str) -> Heard:
        path = str(named_below(self.folders.root, target))
        if path not in self._heard:
            self._heard[path] = self.voice.listen(path)
            if len(self._heard) > TARGETS_KEPT:
                self._heard.popitem(last=False)
        self._heard.move_to_end(path)
        return self._heard[path]


def result_path(pair: PairRow, folders: Folders) -> Path:
    """Where the result of a row goes.

    Raises:
        AudioError: for a row with an empty cell.
        OutputError: for a name that leaves the output folder.
    """
    if not (pair.source and pair.out and pair.targets):
        raise AudioError("an empty cell; every row needs source, target and out")
    path = PurePath(pair.out)
    if path.is_absolute() or ".." in path.parts:
        raise OutputError(f"{pair.out}: leaves the output folder; give a path inside it")
    return folders.out_dir / path


def repeated(pairs: Sequence[PairRow], folders: Folders) -> dict[int, Failure]:
    """Rows, by their place, whose result has the name of an earlier row's; known before any work is done."""
    seen: set[PurePath] = set()
    found = {}
    for place, pair in enumerate(pairs):
        out = PurePath(pair.out)
        if pair.out and out in seen:
            reason = (
                f"{folders.out_dir / out}: is the result of an earlier row too; give every row its own name"
            )
            found[place] = Failure(pair.where, reason)
        seen.add(out)
    return found


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
