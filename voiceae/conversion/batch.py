"""Batches: pairs of a table or of a folder converted by one or several processes, and embeddings of many files."""

from __future__ import annotations

import itertools
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeAlias

from voiceae.conversion.embedding_files import EmbeddingTable, is_stored, read_stored
from voiceae.conversion.speaker_profile import MAX_TIMBRE_TOKENS, SpeakerProfile, pool_timbre
from voiceae.errors import AudioError, CorpusError, OutputError
from voiceae.hardware import available_cpus, one_thread
from voiceae.io import audio as audio_io
from voiceae.io.console import Progress
from voiceae.io.csvtable import find_named_file, read_table
from voiceae.io.filesystem import FILE_ERRORS, accessible, exists, is_dir, reason, require_new
from voiceae.io.folders import READABLE, find_audio_files, warn_unused_files
from voiceae.io.writer import SUFFIXES, require_format
from voiceae.processes import parent_watch_options, watched_call, workers_killed_on_error
from voiceae.specs import MIN_TARGET_SECONDS

if TYPE_CHECKING:
    from voiceae.conversion.voice import Voice

# A profile is some 130 KB with its frames, so the cache stays at 35 MB; of a table with more voices some are computed
# again.
PROFILES_KEPT = 256
# Loading the model takes a process about as long as converting eight files of a few seconds.
ROWS_WORTH_A_PROCESS = 8
MIN_TABLE_TOKENS = 32
"""Frames, 1.5 s, that a table keeps of a file at least: of a speaker's only file all, of many so many as its share."""
_GPU = Path("/dev/nvidiactl")  # there without importing torch, which takes seconds
_ANY_RATE = 16000  # Hz; a target is decoded only to see whether it can be used
_PACKAGE = Path(__file__).parents[1]
_BATCH_NUMBERS = itertools.count()


@dataclass(frozen=True)
class PairRow:
    """One conversion of a batch.

    Attributes:
        line: in the table, from 1; 0 for a row that no table holds.
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


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, and why; the reason names the file."""

    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class VoiceLoader:
    """Model, vocoder and device that a voice is loaded from; it can be sent to another process, a voice cannot."""

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


def read_pair_rows(path: str | Path, columns: Sequence[str]) -> list[PairRow]:
    """Rows of a table of pairs; several targets are joined by `;`, other columns are ignored.

    Args:
        path: the table.
        columns: that it must have, of source, target and out.

    Raises:
        CorpusError: when the table is missing, not text, empty or lacks a column; see `read_table`.
    """
    rows = []
    for row in read_table(path, columns, "a table of pairs"):
        source, target, out = (row.cells.get(name, "") for name in ("source", "target", "out"))
        targets = tuple(each.strip() for each in target.split(";") if each.strip())
        rows.append(PairRow(row.line, source, targets, out))
    if not rows:
        raise CorpusError(f"{path}: holds no pairs; give one row each below the header")
    return rows


def folder_rows(
    folder: Path, targets: Sequence[str], out_dir: Path, closed: list[Failure] | None = None
) -> list[PairRow]:
    """A row for every recording below a folder, except earlier results there.

    A result keeps its recording's name, with the suffix .wav where that format can only be read.

    Args:
        folder: that sources and results are named below.
        targets: of the voice, relative to the working directory.
        out_dir: where the results go.
        closed: gets the folders below that cannot be opened.

    Raises:
        AudioError: when there is no audio in the folder, or a target cannot be used.
        EmbeddingError: for a stored embedding that cannot be used.
    """
    for target in targets:  # one that no row could use is refused before the first row is converted
        if is_stored(target):
            read_stored(target)
        else:
            audio_io.load(target, _ANY_RATE, min_seconds=MIN_TARGET_SECONDS, what="a target")
    results = _absolute(out_dir)
    files = [file for file in find_recordings([folder], closed) if results not in _absolute(file).parents]
    if not files:
        raise AudioError(f"{folder}: holds no audio but in {out_dir}, where the results go")
    targets_here = tuple(str(Path.cwd() / target) for target in targets)
    names = [str(file.relative_to(folder)) for file in files]
    rows = []
    for name in names:
        out = name
        if PurePath(name).suffix.lower() not in SUFFIXES:
            out = str(PurePath(name).with_suffix(".wav"))
            out = f"{name}.wav" if out in names else out  # a.wav beside a.aiff keeps its own result
        rows.append(PairRow(0, name, targets_here, out))
    return rows


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


def require_out(path: Path, force: bool) -> None:
    """Refuse an output file before the work is done rather than after it.

    Raises:
        OutputError: for a suffix that cannot be written, or an existing file without `force`.
    """
    require_format(path)
    require_new(path, force)


class PairConverter:
    """Converts rows one by one, with a cache of the latest targets' profiles.

    Args:
        voice: the model.
        folders: where sources, targets and results are.
    """

    def __init__(self, voice: Voice, folders: BatchFolders) -> None:
        self.voice, self.folders = voice, folders
        self._profile = lru_cache(PROFILES_KEPT)(voice.profile)

    def attempt(self, pair: PairRow) -> Failure | None:
        """Convert one row, or say why not; nothing is written then."""
        root, force = self.folders.root, self.folders.force
        try:
            out = result_path(pair, self.folders)
            require_out(out, force)
            # Sums depend on how many threads share them: with one, results do not depend on the number of processes.
            with one_thread():
                targets = [self._profile(str(find_named_file(root, each))) for each in pair.targets]
                self.voice.convert_file(find_named_file(root, pair.source), targets, out, force=force)
        except FILE_ERRORS as error:
            return Failure(pair.where, reason(error, pair.source))
        return None


def convert_pairs(
    loader: VoiceLoader,
    folders: BatchFolders,
    pairs: Sequence[PairRow],
    *,
    jobs: int | None = None,
    progress: Progress = iter,
) -> list[Failure]:
    """Convert all rows that can be converted; returns those that cannot, in their order.

    The results do not depend on the number of processes, and each needs the same memory at the end as at the start.

    Args:
        loader: of the voice, which is loaded once in every process.
        folders: where sources, targets and results are.
        pairs: the rows.
        jobs: processes; by default what `default_jobs` says.
        progress: wraps the result of each row, for a progress bar.

    Raises:
        VoiceAEError: when the voice cannot be loaded.
        WorkerError: when a process was killed.
    """
    jobs = min(jobs or default_jobs(len(pairs), loader.device), len(pairs))
    duplicates = duplicate_results(pairs, folders)
    todo = [pair for place, pair in enumerate(pairs) if place not in duplicates]
    done: Iterator[Failure | None]
    if jobs == 1:
        done = map(PairConverter(loader.load(), folders).attempt, todo)
    else:
        done = _in_processes(_Batch(loader, folders, os.getcwd(), next(_BATCH_NUMBERS)), todo, jobs)
    results = (duplicates[place] if place in duplicates else next(done) for place in range(len(pairs)))
    written = {(folders.out_dir / pair.out).parent for pair in todo}
    with nullcontext() if jobs == 1 else workers_killed_on_error(written, jobs):
        return [failure for failure in progress(results) if failure is not None]


def default_jobs(rows: int, device: str) -> int:
    """Processes for so many rows: a core each, as long as loading the model pays; one where a GPU does the work."""
    if find_spec("joblib") is None:  # as in an environment made for onnxruntime alone
        return 1
    if device.startswith("cuda") or (device == "auto" and _GPU.exists()):
        return 1
    return max(1, min(available_cpus(), rows // ROWS_WORTH_A_PROCESS))


def duplicate_results(pairs: Sequence[PairRow], folders: BatchFolders) -> dict[int, Failure]:
    """Rows, by their index, whose result has the name of an earlier row's; known before any work is done."""
    seen: set[PurePath] = set()
    found = {}
    for place, pair in enumerate(pairs):
        out = PurePath(pair.out)
        if pair.out and out in seen:
            path = folders.out_dir / out
            text = f"{path}: is the result of an earlier row too; give every row its own name"
            found[place] = Failure(pair.where, text)
        seen.add(out)
    return found


@dataclass(frozen=True)
class _Batch:
    """What all rows of a batch share; a process serves several batches, so they are numbered, and name their `.`."""

    loader: VoiceLoader
    folders: BatchFolders
    cwd: str
    number: int


_Warnings: TypeAlias = list[tuple[str, type[Warning]]]


def _in_processes(batch: _Batch, pairs: Sequence[PairRow], jobs: int) -> Iterator[Failure | None]:
    """Results in the order of the rows; warnings of the other processes are repeated in this one."""
    import joblib

    parallel = joblib.Parallel(
        jobs, backend="loky", return_as="generator", max_nbytes=None, **parent_watch_options()
    )
    for failure, caught in parallel(watched_call(_attempt, batch, pair) for pair in pairs):
        for text, category in caught:
            warnings.warn(text, category, stacklevel=2)
        yield failure


def _attempt(batch: _Batch, pair: PairRow) -> tuple[Failure | None, _Warnings]:
    """Runs in a process of its own: the result of a row, and what the package warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        failure = _converter(batch).attempt(pair)
    ours = [each for each in caught if Path(each.filename).is_relative_to(_PACKAGE)]
    return failure, [(str(each.message), each.category) for each in ours]


@lru_cache(maxsize=1)
def _converter(batch: _Batch) -> PairConverter:
    os.chdir(batch.cwd)
    return PairConverter(batch.loader.load(), batch.folders)


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
    voice: Voice, speakers: Mapping[Path, str], progress: Progress = iter
) -> tuple[EmbeddingTable, list[Failure]]:
    """Embed every file that can be read: -> table, files that are not in it.

    Args:
        voice: the model.
        speakers: audio files, and whose voice each is.
        progress: wraps the files, for a progress bar.

    Raises:
        VoiceAEError: when no file at all can be used; with one file, its own error.
    """
    profiles: dict[str, SpeakerProfile] = {}
    failures, files = [], Counter(speakers.values())
    for path in progress(speakers):
        try:
            profile = voice.profile(path)
            # A corpus of 40,000 files would come to 3 GB with all frames of each, of which its speaker keeps no more.
            most = max(MIN_TABLE_TOKENS, MAX_TIMBRE_TOKENS // files[speakers[path]])
            profiles[str(path)] = replace(profile, timbre=pool_timbre([(1.0, profile.timbre)], most))
        except FILE_ERRORS as error:
            if len(speakers) == 1:
                raise
            failures.append(Failure(str(path), reason(error, path)))
    if not profiles:
        raise AudioError(f"none of {len(speakers)} files could be used; the first: {failures[0].reason}")
    owners = {str(path): speaker for path, speaker in speakers.items() if str(path) in profiles}
    return EmbeddingTable.from_profiles(profiles, owners, voice.fingerprint), failures
