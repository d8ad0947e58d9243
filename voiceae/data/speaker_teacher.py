"""A teacher's speaker vectors of a store's recordings, for training the speaker encoder; asked once, whole clips."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceae.data.beside import BesideJob, fill_beside, is_of_store
from voiceae.data.store import FeatureStore
from voiceae.errors import StoreError
from voiceae.io import audio
from voiceae.io.filesystem import atomic_path
from voiceae.pretrained.dvector import SAMPLE_RATE, DVectorEncoder

TEACHER = "speaker-teacher"
_AGAIN = "remove that folder and prepare again with --speaker-teacher"


def teacher_path(root: Path, shard: int) -> Path:
    """Where the vectors of a shard lie."""
    return root / TEACHER / f"vectors-{shard:05d}.npy"


def add_speaker_teacher(store: FeatureStore, *, jobs: int = 1, progress: bool = False) -> None:
    """Ask the teacher for a vector of every utterance of a store; shards that have theirs are left alone.

    Args:
        store: whose corpus is still where it was.
        jobs: processes.
        progress: show a bar on stderr.

    Raises:
        ConfigError: when the package with the teacher is not installed.
        StoreError: when a recording is gone, or is not the one that the store was made from.
        OutputError: when a file cannot be written.
    """
    _teacher()  # a missing package is said before any process is started
    fill_beside(store, TEACHER, teacher_path, _write_shard, jobs=jobs, progress=progress)


def read_speaker_teacher(store: FeatureStore) -> NDArray[np.float32] | None:
    """The teacher's vector of every utterance, (N, E) of unit length; None where it was not asked.

    Raises:
        StoreError: when a shard's vectors are missing, damaged or of other utterances.
    """
    if not (store.path / TEACHER).is_dir():
        return None
    if not is_of_store(store, TEACHER):
        raise StoreError(f"{store.path / TEACHER}: was made for another store; {_AGAIN}")
    vectors = np.zeros((len(store.utterances), DVectorEncoder.size), np.float32)
    for shard in range(len(store.shards)):
        path = teacher_path(store.path, shard)
        rows = sorted((u for u in store.utterances if u.shard == shard), key=lambda u: u.start)
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {_AGAIN}") from None
        if found.shape != (len(rows), DVectorEncoder.size):
            raise StoreError(f"{path}: holds {found.shape}, the shard has {len(rows)} utterances; {_AGAIN}")
        vectors[[row.index for row in rows]] = found
    return vectors


def _write_shard(path: Path, job: BesideJob) -> None:
    vectors = [_teacher().embed(job.read(row, audio.load, SAMPLE_RATE).wav) for row in job.rows]
    stacked = np.stack(vectors) if vectors else np.zeros((0, DVectorEncoder.size))
    with atomic_path(path) as temporary:
        np.save(temporary, stacked.astype(np.float32))


@cache
def _teacher() -> DVectorEncoder:
    """The network of this process."""
    return DVectorEncoder()
