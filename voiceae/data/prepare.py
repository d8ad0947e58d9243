"""Corpus -> feature store: parallel, resumable after a kill at any moment, the same bytes every time."""

from __future__ import annotations

import csv
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from voiceae.data.aligned import list_corpora, split_groups
from voiceae.data.corpora import TRAIN, Recording, assign_splits
from voiceae.data.shards import (
    ShardJob,
    ShardRecord,
    build_shard,
    changed,
    is_changed,
    read_record,
    shard_path,
    stored_record,
)
from voiceae.data.store import (
    COLUMNS,
    RECORDS,
    REPORT,
    SOURCES,
    STATISTICS,
    STORE,
    TABLE,
    PrepareOptions,
    claim,
    is_finished,
    make_plan,
    open_table,
    read_sources,
    relative_path,
    store_lock,
)
from voiceae.errors import ConfigError, CorpusError, StoreError
from voiceae.hardware import available_cpus
from voiceae.io.audio import UpperBandWarning
from voiceae.io.filesystem import atomic_path, is_file
from voiceae.io.folders import UnusedFile, warn_unused_files
from voiceae.processes import parent_watch_options, watched_call, workers_killed_on_error
from voiceae.specs import AudioSpec

LOCAL, DASK = BACKENDS = ("local", "dask")
_CONNECT_SECONDS = 10


@contextmanager
def backend(name: str = LOCAL, scheduler: str | None = None) -> Iterator[None]:
    """Let joblib's work in this block be done by a backend.

    Args:
        name: one of `BACKENDS`.
        scheduler: of the Dask cluster, such as `tcp://head:8786`; its workers must see corpus and store by the same
            paths as this machine.

    Raises:
        ConfigError: for a backend without its library, a scheduler that does not answer, or one of the two without
            the other.
    """
    if (name == DASK) != (scheduler is not None):
        raise ConfigError(f"--backend {name}: --backend dask and --scheduler tcp://HOST:PORT go together")
    if scheduler is None:
        yield
        return
    if find_spec("distributed") is None:
        raise ConfigError("--backend dask: needs Dask; pip install 'voiceae[dask]' here and on the workers")
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"--scheduler {scheduler}: does not answer ({error}); start dask scheduler"
        ) from None
    with client, joblib.parallel_config("dask", client=client):
        yield


_SHARD_UTTERANCES = 64  # few, so that a kill loses little
_MOST_SHARDS = 4096  # few, so that a folder of them stays handy; each is in memory while it is made
_MOST_NAMED = 2  # bad files on the last line; the report has them all
_LEAST_STD = 1e-2  # float16 cannot tell smaller spreads from rounding


class ChangedWarning(UserWarning):
    """Recordings that were replaced while a store was being made of them."""


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes:
        path: the store.
        utterances: how many it holds.
        speakers: of how many speakers.
        seconds: duration of their frames.
        skipped: how many recordings were left out.
        reasons: (path, reason) of the first of them; `report.csv` has all, and what lay there and was not used.
        resumed: shards that were there already.
    """

    path: Path
    utterances: int
    speakers: int
    seconds: float
    skipped: int
    reasons: tuple[tuple[str, str], ...]
    resumed: int

    def __str__(self) -> str:
        """One line for the end of a command."""
        hours = f"{self.seconds / 3600:.2f} h"
        made = f"{self.path}: {self.utterances} utterances of {self.speakers} speakers, {hours}"
        if not self.skipped:
            return f"{made}; none skipped"
        named = [f"{path}: {reason}" for path, reason in self.reasons[: self.skipped]]
        more = [f"{self.skipped - len(named)} more"] if self.skipped > len(named) else []
        return f"{made}; {self.skipped} skipped ({'; '.join(named + more)}), see {self.path / REPORT}"


def prepare(
    kind: str,
    corpus: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    aligned: Sequence[str | Path] = (),
    spec: AudioSpec | None = None,
    options: PrepareOptions | None = None,
    jobs: int | None = None,
    force: bool = False,
    progress: bool = False,
) -> Prepared:
    """Make a feature store, or finish one that was begun with the same corpus and options.

    The content, byte for byte, depends on the corpus and the options alone; not on `jobs` or interruptions.

    Args:
        kind: "vctk", "libritts", "folder" or "csv".
        corpus: the corpus folder, or the table; of kind "folder" also several, in which equal names are one speaker.
        out: the store folder.
        aligned: folders of speakers whose recordings are in step frame by frame where their names are equal.
        spec: the mel contract.
        options: splits, trimming and the like.
        jobs: processes; by default one a core. A backend set by `joblib.parallel_config` is respected.
        force: start anew where `out` holds a store, this one or another.
        progress: show a bar on stderr.

    Raises:
        CorpusError: when the corpus has not the layout of its kind, or nothing of it can be used.
        StoreError: when `out` holds something else, or `force` is false and it was made of another corpus or of
            recordings that were replaced since.
        OutputError: when the store cannot be written, or another process is writing it.
    """
    spec, options, out = spec or AudioSpec(), options or PrepareOptions(), Path(out)
    unused: list[UnusedFile] = []
    corpora = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    found = list_corpora(kind, corpora, aligned, mic=options.mic, unused=unused)
    roots = [
        Path(os.path.abspath(each)) for each in (*corpora, *aligned)
    ]  # links stay: it may move behind them
    roots = [roots[0].parent, *roots[1:]] if kind == "csv" and corpora else roots
    for number, given in enumerate((*corpora, *aligned)):
        warn_unused_files(given, [each for each in unused if _root_of(each.path, roots) == number])
    recordings = _with_splits(found, options)
    plan = make_plan(kind, roots, found, spec, options)
    shard_jobs = _shard_jobs(out, recordings, spec, options)
    if force or not is_finished(out, plan):
        with store_lock(out):
            claim(out, plan, force)
            resumed = _make(out, roots, plan, shard_jobs, unused, jobs, progress)
    else:
        _require_unchanged(out, roots, recordings)
        resumed = len(shard_jobs)
    info = json.loads((out / STORE).read_text(encoding="utf-8"))
    reasons: list[tuple[str, str]] = []
    if is_file(out / REPORT):  # none where the report of a finished store was removed
        with open_table(out / REPORT, "r") as file:
            rows = islice(csv.DictReader(file), _MOST_NAMED)
            reasons = [(row["path"], row["reason"]) for row in rows]
    return Prepared(
        path=out,
        utterances=info["utterances"],
        speakers=info["speakers"],
        seconds=info["seconds"],
        skipped=info["skipped"],
        reasons=tuple(reasons),
        resumed=resumed,
    )


def _with_splits(found: Sequence[Recording], options: PrepareOptions) -> list[Recording]:
    """The same recordings with their splits; speakers of aligned groups are trained on."""
    plain, grouped = [r for r in found if not r.group], [r for r in found if r.group]
    if plain:
        plain = assign_splits(
            plain,
            valid_speakers=options.valid_speakers,
            valid_utterances=options.valid_utterances,
            seed=options.seed,
            trained={recording.speaker for recording in grouped},
        )
    elif options.valid_speakers:
        raise CorpusError(
            f"{options.valid_speakers} speakers to hold out, but all recordings are aligned; give a corpus beside them"
        )
    share = options.valid_utterances
    return plain + split_groups(grouped, plain, valid_utterances=share, seed=options.seed)


def _root_of(path: Path, roots: Sequence[Path]) -> int:
    """Number of the innermost corpus that a file lies in; 0 for one that lies elsewhere."""
    absolute = Path(os.path.abspath(path))
    within = [number for number, root in enumerate(roots) if absolute.is_relative_to(root)]
    return max(within, key=lambda number: len(roots[number].parts), default=0)


def _make(
    out: Path,
    roots: Sequence[Path],
    plan: dict[str, Any],
    shard_jobs: Sequence[ShardJob],
    unused: Sequence[UnusedFile],
    jobs: int | None,
    progress: bool,
) -> int:
    """Make what is missing of a store that is ours and locked: the number of shards that were there."""
    resumed = len(shard_jobs)
    if not is_file(out / STORE):
        # Of the shards of a begun store, those whose recordings are others by now will be made again.
        begun = [(job, record) for job in shard_jobs if (record := stored_record(job)) is not None]
        paths = [path for job, record in begun for path in changed(job, record)]
        if paths:
            warnings.warn(
                f"{out}: {_some(paths)} changed since the store was begun; prepared again",
                ChangedWarning,
                stacklevel=3,
            )
        resumed = sum(read_record(job) is not None for job in shard_jobs)
        records = _run(shard_jobs, jobs, progress)
        _finish(out, roots, plan, shard_jobs, records, unused)
        narrow = sum(record.narrow for record in records)
        if narrow:
            warnings.warn(
                f"{narrow} recordings are sampled below 16 kHz and lack the upper band; expect a dull voice",
                UpperBandWarning,
                stacklevel=3,
            )
    shutil.rmtree(out / RECORDS, ignore_errors=True)
    return resumed


def _require_unchanged(out: Path, roots: Sequence[Path], recordings: Sequence[Recording]) -> None:
    """Refuse a finished store whose recordings were replaced since; one that is older than its list of them passes."""
    sources = read_sources(out / SOURCES)
    paths = [
        recording.path
        for recording in recordings
        if (was := sources.get(_place(recording, roots))) and is_changed(recording.path, was)
    ]
    if paths:
        raise StoreError(
            f"{out}: {_some(paths)} changed since the store was made; use --force to start anew, "
            "or give another --out"
        )


def _some(paths: Sequence[Path]) -> str:
    named = ", ".join(path.name for path in paths[:_MOST_NAMED])
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    return f"{len(paths)} recording{'s' if len(paths) > 1 else ''} ({named}{more})"


def _shard_jobs(
    out: Path, recordings: Sequence[Recording], spec: AudioSpec, options: PrepareOptions
) -> list[ShardJob]:
    """Jobs whose paths hold wherever a worker runs."""
    size = max(_SHARD_UTTERANCES, -(-len(recordings) // _MOST_SHARDS))
    out = Path(os.path.abspath(out))
    recordings = [replace(each, path=Path(os.path.abspath(each.path))) for each in recordings]
    return [
        ShardJob(
            recordings=shard,
            spec=spec,
            trim=options.trim,
            min_seconds=options.min_seconds,
            mel_path=shard_path(out, number),
            record_path=out / RECORDS / f"{number:05d}-of-{size}.json",
        )
        for number, shard in enumerate(_shards(recordings, size))
    ]


def _shards(recordings: Sequence[Recording], size: int) -> Iterator[tuple[Recording, ...]]:
    """So many recordings at a time; or more, to the end of an aligned group, which one worker must hear whole."""
    start = 0
    while start < len(recordings):
        stop = min(start + size, len(recordings))
        while stop < len(recordings) and (group := recordings[stop].group):
            if recordings[stop - 1].group != group:
                break
            stop += 1
        yield tuple(recordings[start:stop])
        start = stop


def _place(recording: Recording, roots: Sequence[Path]) -> tuple[int, str]:
    """Number of the corpus that a recording belongs to, and its path in there."""
    return recording.root, relative_path(recording.path, roots[recording.root])


def _run(shard_jobs: Sequence[ShardJob], jobs: int | None, progress: bool) -> list[ShardRecord]:
    """Records in the order of the shards, whatever order they are finished in."""
    records: list[ShardRecord] = []
    total = sum(len(job.recordings) for job in shard_jobs)
    folders = {path.parent for job in shard_jobs for path in (job.mel_path, job.record_path)}
    if jobs is None:  # as many as joblib can use; a cluster knows its own number
        known, _ = joblib.parallel.get_active_backend()
        elsewhere = type(known).__name__ == "DaskDistributedBackend"
        jobs = known.effective_n_jobs(-1) if elsewhere else available_cpus()
    with workers_killed_on_error(folders), tqdm(total=total, unit="file", disable=not progress) as bar:
        parallel = joblib.Parallel(
            min(jobs, len(shard_jobs)), return_as="generator", **parent_watch_options()
        )
        done: Iterable[ShardRecord] = parallel(watched_call(build_shard, job) for job in shard_jobs)
        for job, record in zip(shard_jobs, done, strict=True):
            records.append(record)
            bar.update(len(job.recordings))
    return records


def _finish(
    out: Path,
    roots: Sequence[Path],
    plan: dict[str, Any],
    shard_jobs: Sequence[ShardJob],
    records: Sequence[ShardRecord],
    unused: Sequence[UnusedFile],
) -> None:
    """Table, report, statistics, and last of all the file whose presence says that the store is complete."""
    frames = sum(record.train_frames for record in records)
    if not frames:
        reasons = [reason for record in records for _, reason in record.skipped]
        raise CorpusError(
            f"{roots[0]}: nothing to train on was left; the first file skipped: {(reasons or ['none'])[0]}"
        )
    mean = np.sum([record.total for record in records], axis=0) / frames
    variance = np.sum([record.squares for record in records], axis=0) / frames - mean**2
    std = np.maximum(np.sqrt(np.maximum(variance, 0.0)), _LEAST_STD)
    rows, skipped = _rows(roots, shard_jobs, records)
    _write_csv(out / TABLE, COLUMNS, rows)
    others = [
        [relative_path(each.path, roots[number]), f"not used: {each.why}", number]
        for each in unused
        for number in [_root_of(each.path, roots)]
    ]
    _write_csv(out / REPORT, ("path", "reason", "root"), skipped + others)
    sources = [
        [*_place(own, roots), *source]
        for job, record in zip(shard_jobs, records, strict=True)
        for own, source in zip(job.recordings, record.sources, strict=True)
    ]
    _write_csv(out / SOURCES, ("root", "path", "size", "mtime_ns", "sha256"), sources)
    with atomic_path(out / STATISTICS) as temporary:
        np.savez(temporary, mean=mean.astype(np.float32), std=std.astype(np.float32))
    info = plan | {
        "corpus": str(roots[0]),
        "other_corpora": [str(root) for root in roots[1:]],
        "utterances": len(rows),
        "speakers": len({row[1] for row in rows}),
        "seconds": sum(row[8] for row in rows),
        "seconds_read": sum(record.seconds_read for record in records),
        "skipped": len(skipped),
        "train_frames": frames,
        "shard_frames": [record.frames for record in records],
    }
    with atomic_path(out / STORE) as temporary:
        temporary.write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def _rows(
    roots: Sequence[Path], shard_jobs: Sequence[ShardJob], records: Sequence[ShardRecord]
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Rows of the utterance table in the order of `COLUMNS`, and rows of the report."""
    rows: list[list[Any]] = []
    skipped: list[list[Any]] = []
    for number, (job, record) in enumerate(zip(shard_jobs, records, strict=True)):
        for place, start, frames, seconds, first_sample, band in record.rows:
            own = job.recordings[place]
            root, path = _place(own, roots)
            names = [own.speaker, own.utterance, own.split or TRAIN, path]
            known = [own.gender or "", own.text or "", root, own.group, first_sample, band]
            rows.append([len(rows), *names, number, start, frames, round(seconds, 4), *known])
        for place, reason in record.skipped:
            root, path = _place(job.recordings[place], roots)
            skipped.append([path, reason, root])
    return rows, skipped


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with atomic_path(path) as temporary, open_table(temporary, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
