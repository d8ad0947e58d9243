"""What is made of a store's recordings afterwards, a file a shard beside the mels: waves, a teacher's vectors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import joblib
from tqdm import tqdm

from voiceae.data.shards import is_changed
from voiceae.data.store import (
    SOURCES,
    FeatureStore,
    Source,
    Utterance,
    corpus_roots,
    plan_digest,
    read_sources,
    store_lock,
)
from voiceae.errors import StoreError
from voiceae.io.filesystem import FILE_ERRORS, atomic_path, reason
from voiceae.processes import parent_watch_options, watched_call, workers_killed_on_error
from voiceae.specs import AudioSpec

_MADE_FROM = "made-from.json"

Read = TypeVar("Read")


@dataclass(frozen=True)
class BesideJob:
    """One shard's share of the work, for a process of its own.

    Attributes:
        store: folder of the store.
        info: what `store.json` says.
        spec: the mel contract.
        rows: utterances of the shard, in the order of their frames.
        known: what each recording was when the store was made; None where that is not known.
    """

    store: Path
    info: dict[str, Any]
    spec: AudioSpec
    rows: list[Utterance]
    known: list[Source | None]

    def recording(self, row: Utterance) -> Path:
        """The file behind an utterance."""
        return corpus_roots(self.info)[row.root] / row.path

    def read(self, row: Utterance, how: Callable[..., Read], *arguments: Any) -> Read:
        """What `how(path, *arguments)` makes of the recording behind a row.

        Raises:
            StoreError: when it is gone, or is not the one that the store was made from.
        """
        path = self.recording(row)
        try:
            made = how(path, *arguments)
        except FILE_ERRORS as error:
            said = reason(error, path)
            message = f"{self.store}: the recordings behind it cannot be read any more: {said}"
            raise StoreError(message) from None
        source = self.known[self.rows.index(row)]
        if source is not None and is_changed(path, source):
            raise StoreError(f"{self.store}: {path} is not the recording that the store was made from")
        return made


def fill_beside(
    store: FeatureStore,
    folder: str,
    path_of: Callable[[Path, int], Path],
    write: Callable[[Path, BesideJob], None],
    *,
    jobs: int,
    progress: bool,
) -> None:
    """Make a file for every shard in a folder of the store; shards that have theirs are left alone.

    Args:
        store: whose corpus is still where it was.
        folder: name of the folder.
        path_of: folder of the store, number of the shard -> the file.
        write: makes the file of a shard, atomically.
        jobs: processes.
        progress: show a bar on stderr.

    Raises:
        StoreError: when a recording is gone, or is not the one that the store was made from.
        OutputError: when a file cannot be written.
    """
    place, made_from = store.path / folder, {"plan": plan_digest(store.info)}
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", **parent_watch_options())
    with store_lock(store.path):
        if read_made_from(place) != made_from:  # of a store that stood here before
            shutil.rmtree(place, ignore_errors=True)
            with atomic_path(place / _MADE_FROM) as temporary:
                temporary.write_text(json.dumps(made_from) + "\n", encoding="utf-8")
        missing = [n for n in range(len(store.shards)) if not path_of(store.path, n).is_file()]
        sources = read_sources(store.path / SOURCES)
        work = []
        for n in missing:
            rows = sorted((u for u in store.utterances if u.shard == n), key=lambda u: u.start)
            known = [sources.get((u.root, u.path)) for u in rows]
            work.append((path_of(store.path, n), BesideJob(store.path, store.info, store.spec, rows, known)))
        with workers_killed_on_error([place]):
            done = run(watched_call(write, path, job) for path, job in work)
            for _ in tqdm(done, total=len(work), desc=folder, unit="shard", disable=not progress):
                pass


def is_of_store(store: FeatureStore, folder: str) -> bool:
    """Whether what lies in a folder was made for this store; true of one that says nothing of itself."""
    return read_made_from(store.path / folder) in (None, {"plan": plan_digest(store.info)})


def read_made_from(folder: Path) -> dict[str, Any] | None:
    """What the files in a folder belong to; None where nothing says it."""
    try:
        return dict(json.loads((folder / _MADE_FROM).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
