"""The waves behind a feature store's mels, for training vocoders: 16-bit samples beside the shards."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from voiceae.data.crops import Batch, CropSampler, to_device
from voiceae.data.shards import is_changed, levelled, speech_interval
from voiceae.data.store import (
    SOURCES,
    WAVES,
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
_FULL_SCALE = 32767.0
_AGAIN = "prepare again with --force --waves"


@dataclass(frozen=True)
class WaveBatch(Batch):
    """Crops of speech with their waves.

    Attributes:
        wav: (B, T * hop_length), the samples that the frames of `mel` stand for.
    """

    wav: Tensor


def wave_path(root: Path, shard: int) -> Path:
    """Where the waves of a shard lie."""
    return root / WAVES / f"wave-{shard:05d}.npy"


def add_waves(store: FeatureStore, *, jobs: int = 1, progress: bool = False) -> None:
    """Put the waves of a store's utterances beside its mels; shards that have them are left alone.

    Args:
        store: whose corpus is still where it was.
        jobs: processes.
        progress: show a bar on stderr.

    Raises:
        StoreError: when a recording is gone, or is not the one that the store was made from.
        OutputError: when a file cannot be written.
    """
    folder, made_from = store.path / WAVES, {"plan": plan_digest(store.info)}
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", **parent_watch_options())
    with store_lock(store.path):
        if _made_from(folder) != made_from:  # of a store that stood here before
            shutil.rmtree(folder, ignore_errors=True)
            with atomic_path(folder / _MADE_FROM) as temporary:
                temporary.write_text(json.dumps(made_from) + "\n", encoding="utf-8")
        missing = [n for n in range(len(store.shards)) if not wave_path(store.path, n).is_file()]
        rows = {
            n: sorted((u for u in store.utterances if u.shard == n), key=lambda u: u.start) for n in missing
        }
        sources = read_sources(store.path / SOURCES)
        known = {n: [sources.get((u.root, u.path)) for u in rows[n]] for n in missing}
        with workers_killed_on_error([folder]):
            done = run(
                watched_call(_write_shard, store.path, store.info, store.spec, n, rows[n], known[n])
                for n in missing
            )
            for _ in tqdm(done, total=len(missing), desc="waves", unit="shard", disable=not progress):
                pass


def _made_from(folder: Path) -> dict[str, Any] | None:
    """What the waves in a folder belong to; None where nothing says it."""
    try:
        return dict(json.loads((folder / _MADE_FROM).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_shard(
    root: Path,
    info: dict[str, Any],
    spec: AudioSpec,
    shard: int,
    rows: list[Utterance],
    known: list[Source | None],
) -> None:
    waves, options = [np.zeros(0, np.int16)], info["options"]
    for row, source in zip(rows, known, strict=True):
        path = corpus_roots(info)[row.root] / row.path
        try:
            wav, _ = levelled(path, spec, options["min_seconds"])
        except FILE_ERRORS as error:
            said = reason(error, path)
            raise StoreError(f"{root}: the recordings behind it cannot be read any more: {said}") from None
        if row.group:  # its interval is that of its group
            wav = wav[row.first_sample :][: spec.samples(row.frames)]
        else:
            first, last = speech_interval([wav], spec, options["trim"])
            wav = wav[first:last]
        if spec.frames(len(wav)) != row.frames or (source is not None and is_changed(path, source)):
            raise StoreError(f"{root}: {path} is not the recording that the store was made from")
        wav = np.pad(wav, (0, max(0, spec.samples(row.frames) - len(wav))))[: spec.samples(row.frames)]
        waves.append((np.clip(wav, -1.0, 1.0) * _FULL_SCALE).round().astype(np.int16))
    path = wave_path(root, shard)
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        np.save(temporary, np.concatenate(waves))


class WaveCropSampler(CropSampler):
    """Crops whose batches have waves too; arguments as in `CropSampler`.

    The waves are held in memory, or on the GPU, whatever `resident` says of the mels: a crop may lie anywhere, and as
    16-bit integers the 44 hours of VCTK take 7 GB, which the machines that train vocoders have.

    Raises:
        StoreError: when the split is empty, or the store has no waves or those of other mels.
    """

    def __init__(self, store: FeatureStore, split: str, **options: Any) -> None:
        super().__init__(store, split, **options)
        self._hop = store.spec.hop_length
        utterances = [store.utterances[index] for index in self._index]
        made_from = _made_from(store.path / WAVES)
        if made_from not in (None, {"plan": plan_digest(store.info)}):
            raise StoreError(
                f"{store.path}: its waves are of an earlier store; prepare it again with --waves"
            )
        shards = {shard: _open(store, shard) for shard in {u.shard for u in utterances}}
        parts = [shards[u.shard][u.start * self._hop : (u.start + u.frames) * self._hop] for u in utterances]
        margin = np.zeros(self.crop_frames * self._hop, np.int16)
        self._samples = torch.from_numpy(np.concatenate([*parts, margin])).to(self.device)
        self._begin = np.concatenate(([0], self._length.cumsum()[:-1]))

    def _make(self, step: int, rank: int, world_size: int) -> WaveBatch:
        batch = super()._make(step, rank, world_size)
        drawn, offset, *_ = self._draw(step, rank, world_size)
        start = to_device((self._begin[drawn] + offset) * self._hop, self.device)
        steps = torch.arange(self.crop_frames * self._hop, device=self.device)
        wav = self._samples[start[:, None] + steps].float() / _FULL_SCALE
        return WaveBatch(**vars(batch), wav=wav * batch.mask.repeat_interleave(self._hop, dim=1))


def _open(store: FeatureStore, shard: int) -> NDArray[np.int16]:
    path = wave_path(store.path, shard)
    if not path.is_file():
        raise StoreError(f"{store.path}: has no waves; add them with voiceae prepare ... --waves")
    try:
        samples = np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}; {_AGAIN}") from None
    expected = store.spec.samples(store.info["shard_frames"][shard])
    if samples.shape != (expected,) or samples.dtype != np.int16:
        raise StoreError(
            f"{path}: holds {samples.dtype} {samples.shape}, the mels beside it stand for {expected} samples: they are "
            f"not of the same recordings; {_AGAIN}"
        )
    return samples
