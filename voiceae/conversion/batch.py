"""Many recordings in one go: tables of pairs, folders, embeddings of all, and what becomes of each."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from voiceae.conversion.embedding_files import EmbeddingTable, is_stored, read_stored
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.errors import AudioError, CorpusError, OutputError
from voiceae.hardware import one_thread
from voiceae.io import audio as audio_io
from voiceae.io.csvtable import TableRow, find_named_file, read_table
from voiceae.io.filesystem import FILE_ERRORS, accessible, exists, is_dir, reason, require_new
from voiceae.io.folders import READABLE, find_audio_files, warn_unused_files

if TYPE_CHECKING:
    from voiceae.conversion.voice import Voice


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


TARGETS_KEPT = 1024  # some 3 KB each; a table with more voices hears some of them again


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, and why; the reason names the file."""

    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class VoiceLoader:
    """What a voice is loaded from; unlike the voice, it can be sent to another process."""

    model: str = "base"
    vocoder: str = "default"
    device: str = "auto"

    def load(self) -> Voice:
        """Load the voice; see `voiceae.load`."""
        from voiceae.conversion.voice import load

        return load(self.model, self.vocoder, self.device)


@dataclass(frozen=True, kw_only=True)
class BatchFolders:
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
    folders: BatchFolders
    _heard: OrderedDict[str, SpeakerProfile] = field(default_factory=OrderedDict)

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
            source = find_named_file(self.folders.root, pair.source)
            self.voice.convert_file(source, target, out, force=self.folders.force)

    def _listen(self, target: str) -> SpeakerProfile:
        path = str(find_named_file(self.folders.root, target))
        if path not in self._heard:
            self._heard[path] = self.voice.profile(path)
            if len(self._heard) > TARGETS_KEPT:
                self._heard.popitem(last=False)
        self._heard.move_to_end(path)
        return self._heard[path]


def result_path(pair: PairRow, folders: BatchFolders) -> Path:
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


def repeated(pairs: Sequence[PairRow], folders: BatchFolders) -> dict[int, Failure]:
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
    if path.suffix.lower() not in audio_io.SUFFIXES:
        raise OutputError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {_known()}")
    require_new(path, force)


def _known() -> str:
    return ", ".join(audio_io.SUFFIXES)


@dataclass(frozen=True)
class EmbeddedFiles:
    """A table, and the files that are not in it."""

    table: EmbeddingTable
    failures: list[Failure]


def find_recordings(paths: Iterable[str | Path], closed: list[Failure] | None = None) -> dict[Path, str]:
    """Files as given, and every audio file below the folders among them, each once, sorted.

    Args:
        paths: files and folders. What lies in a folder and is not used is summed up in a warning.
        closed: gets the folders that the system does not open; they are warned of where none is given.

    Returns:
        The speaker of each file (`speaker_of`); where a file is given in several ways, the first one counts.

    Raises:
        AudioError: for a path that does not exist, or a folder without audio.
    """
    found: dict[Path, str] = {}
    for path in map(Path, paths):
        if is_dir(path):
            with accessible(path, AudioError):
                inside = find_audio_files(path)
            lost = [] if closed is None else [each for each in inside.unused if each.closed]
            warn_unused_files(path, [each for each in inside.unused if each not in lost])
            if closed is not None:
                closed.extend(Failure(str(each.path), each.why) for each in lost)
            if not inside.files:
                raise AudioError(f"{path}: holds no audio ({', '.join(READABLE)}), at any depth")
            own = {file: speaker_of(file, path) for file in inside.files}
        elif exists(path):
            own = {path: speaker_of(path)}
        else:
            raise AudioError(f"{path}: no such file or folder")
        found = own | found
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def speaker_of(path: Path, folder: Path | None = None) -> str:
    """Whose voice a file is by its place, as `voiceae prepare folder` sees it.

    Args:
        path: the file.
        folder: that it was found below: its subfolders are the speakers, however deep the file lies, and files
            beside them are of the folder's own name. None where the file itself was given: the folder it lies in.
    """
    place = _absolute(path)
    root = place.parent if folder is None else _absolute(folder)
    inner = place.relative_to(root).parts
    return inner[0] if len(inner) > 1 else root.name


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # links stay: their own names are the ones that the user sees


def embed_files(
    voice: Voice, speakers: Mapping[Path, str], watch: Callable[[Iterable[Path]], Iterable[Path]] = iter
) -> EmbeddedFiles:
    """Embed every file that can be read.

    Args:
        voice: the model.
        speakers: audio files, and whose voice each is.
        watch: wraps the files, for a progress bar.

    Raises:
        VoiceAEError: when no file at all can be used; with one file, its own error.
    """
    profile: dict[str, SpeakerProfile] = {}
    failures = []
    for path in watch(speakers):
        try:
            profile[str(path)] = voice.profile(path)
        except FILE_ERRORS as error:
            if len(speakers) == 1:
                raise
            failures.append(Failure(str(path), reason(error, path)))
    if not profile:
        raise AudioError(f"none of {len(speakers)} files could be used; the first: {failures[0].reason}")
    owners = {str(path): speaker for path, speaker in speakers.items() if str(path) in profile}
    return EmbeddedFiles(EmbeddingTable.from_profiles(profile, owners, voice.fingerprint), failures)


_ANY_RATE = 16000  # only to look whether a target is any use
_TARGET_SECONDS = 0.5


def folder_rows(
    folder: Path, targets: Sequence[str], out_dir: Path, closed: list[Failure] | None = None
) -> list[PairRow]:
    """A row for every recording below a folder, but for earlier results there.

    Args:
        folder: that sources and results are named below.
        targets: the voice, as from here.
        out_dir: where the results go.
        closed: gets the folders below that cannot be opened.

    Raises:
        AudioError: when there is no audio in the folder, or a target cannot be used.
        EmbeddingError: for a stored embedding that cannot be used.
    """
    for target in targets:
        require_target(target)
    results = Path(os.path.abspath(out_dir))
    files = [
        file
        for file in find_recordings([folder], closed)
        if results not in Path(os.path.abspath(file)).parents
    ]
    if not files:
        raise AudioError(f"{folder}: holds no audio but in {out_dir}, where the results go")
    here = tuple(str(Path.cwd() / target) for target in targets)
    names = [str(file.relative_to(folder)) for file in files]
    return [PairRow(0, name, here, _result(name, names)) for name in names]


def _result(name: str, names: Collection[str]) -> str:
    """Name of the result: the recording's own, or .wav where its format can only be read."""
    path = PurePath(name)
    if path.suffix.lower() in audio_io.SUFFIXES:
        return name
    plain = str(path.with_suffix(".wav"))
    return f"{name}.wav" if plain in names else plain


def require_target(target: str) -> None:
    """Refuse a voice that no row could use, before the first row.

    Raises:
        AudioError: for audio that is missing, damaged, silent or too short.
        EmbeddingError: for a stored embedding that is missing or none.
    """
    if is_stored(target):
        read_stored(target)
    else:
        audio_io.load(target, _ANY_RATE, min_seconds=_TARGET_SECONDS, what="a target")
