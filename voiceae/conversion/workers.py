"""A batch of conversions shared by processes, one thread each: the same results, in the time of the slowest."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from voiceae.conversion.batch import BatchFolders, Failure, PairConverter, PairRow, VoiceLoader, repeated
from voiceae.hardware import available_cpus
from voiceae.processes import parent_watch_options, watched_call, workers_killed_on_error

ROWS_WORTH_A_PROCESS = 8  # fewer do not pay for loading the model once more
_GPU = Path("/dev/nvidiactl")
_NUMBERS = itertools.count()
_PACKAGE = Path(__file__).parents[1]

Results: TypeAlias = Iterable[Failure | None]


@dataclass(frozen=True)
class _Batch:
    """What all rows of a batch share; processes outlive a batch, so it is numbered, and says where `.` is."""

    loader: VoiceLoader
    folders: BatchFolders
    cwd: str
    number: int


@dataclass(frozen=True)
class _Result:
    """What one row came to in a process, with what it would have warned of there."""

    failure: Failure | None
    warnings: tuple[tuple[str, type[Warning]], ...]


def convert_pairs(
    loader: VoiceLoader,
    folders: BatchFolders,
    pairs: Sequence[PairRow],
    *,
    jobs: int | None = None,
    watch: Callable[[Results], Results] = iter,
) -> list[Failure]:
    """Convert all rows that can be converted; returns those that cannot, in their order.

    The results do not depend on the number of processes, and each needs the same memory at the end as at the start.

    Args:
        loader: what the voice is loaded from, once in every process.
        folders: where things are.
        pairs: the rows.
        jobs: processes; by default what `default_jobs` says.
        watch: wraps what comes of each row, for a progress bar.

    Raises:
        VoiceAEError: when the voice cannot be loaded.
        WorkerError: when a process was killed.
    """
    jobs = min(jobs or default_jobs(len(pairs), loader.device), len(pairs))
    twice = repeated(pairs, folders)
    todo = [pair for place, pair in enumerate(pairs) if place not in twice]
    done = iter(_here(loader, folders, todo) if jobs == 1 else _in_processes(loader, folders, todo, jobs))
    results = (twice[place] if place in twice else next(done) for place in range(len(pairs)))
    written = {(folders.out_dir / pair.out).parent for pair in todo}
    with nullcontext() if jobs == 1 else workers_killed_on_error(written, jobs):
        return [failure for failure in watch(results) if failure is not None]


def default_jobs(rows: int, device: str) -> int:
    """Processes for so many rows: a core each, as long as loading the model pays; one where a GPU does the work."""
    if device.startswith("cuda") or (device == "auto" and _GPU.exists()):
        return 1
    return max(1, min(available_cpus(), rows // ROWS_WORTH_A_PROCESS))


def _here(loader: VoiceLoader, folders: BatchFolders, pairs: Sequence[PairRow]) -> Iterator[Failure | None]:
    converter = PairConverter(loader.load(), folders)
    return map(converter.attempt, pairs)


def _in_processes(
    loader: VoiceLoader, folders: BatchFolders, pairs: Sequence[PairRow], jobs: int
) -> Iterator[Failure | None]:
    import joblib

    batch = _Batch(loader, folders, os.getcwd(), next(_NUMBERS))
    parallel = joblib.Parallel(
        jobs, backend="loky", return_as="generator", max_nbytes=None, **parent_watch_options()
    )
    for result in parallel(watched_call(_attempt, batch, pair) for pair in pairs):
        for text, category in result.warnings:
            warnings.warn(text, category, stacklevel=2)
        yield result.failure


def _attempt(batch: _Batch, pair: PairRow) -> _Result:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        failure = _converter(batch).attempt(pair)
    ours = [each for each in caught if Path(each.filename).is_relative_to(_PACKAGE)]
    return _Result(failure, tuple((str(each.message), each.category) for each in ours))


@lru_cache(maxsize=1)
def _converter(batch: _Batch) -> PairConverter:
    os.chdir(batch.cwd)
    return PairConverter(batch.loader.load(), batch.folders)
