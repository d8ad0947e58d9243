"""The waves behind a feature store's mels, for training vocoders: 16-bit samples beside the shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.data.beside import BesideJob, fill_beside, is_of_store
from voiceae.data.crops import Batch, CropSampler, to_device
from voiceae.data.shards import levelled, speech_interval
from voiceae.data.store import WAVES, FeatureStore
from voiceae.errors import StoreError
from voiceae.io.filesystem import atomic_path

_FULL_SCALE = 32767.0
_AGAIN = "prepare again with --force --waves"


@dataclass(frozen=True)
class WaveBatch(Batch):
    """Crops of speech with their waves.

    Attributes:
        wav: (B, T * hop_length), the samples that the frames of `mel` stand for.
        band: (B,) how far the recordings reach, Hz.
    """

    wav: Tensor
    band: Tensor


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
    fill_beside(store, WAVES, wave_path, _write_shard, jobs=jobs, progress=progress)


def _write_shard(path: Path, job: BesideJob) -> None:
    waves, spec = [np.zeros(0, np.int16)], job.spec
    for row in job.rows:
        wav, _ = job.read(row, levelled, spec, job.info["options"]["min_seconds"])
        if row.group:  # its interval is that of its group
            wav = wav[row.first_sample :][: spec.samples(row.frames)]
        else:
            first, last = speech_interval([wav], spec, job.info["options"]["trim"])
            wav = wav[first:last]
        if spec.frames(len(wav)) != row.frames:
            raise StoreError(
                f"{job.store}: {job.recording(row)} is not the recording that the store was made from"
            )
        wav = np.pad(wav, (0, max(0, spec.samples(row.frames) - len(wav))))[: spec.samples(row.frames)]
        waves.append((np.clip(wav, -1.0, 1.0) * _FULL_SCALE).round().astype(np.int16))
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
        if not is_of_store(store, WAVES):
            raise StoreError(
                f"{store.path}: its waves are of an earlier store; prepare it again with --waves"
            )
        shards = {shard: _open(store, shard) for shard in {u.shard for u in utterances}}
        parts = [shards[u.shard][u.start * self._hop : (u.start + u.frames) * self._hop] for u in utterances]
        margin = np.zeros(self.crop_frames * self._hop, np.int16)
        self._samples = torch.from_numpy(np.concatenate([*parts, margin])).to(self.device)
        self._begin = np.concatenate(([0], self._length.cumsum()[:-1]))
        self._band = np.array([u.band for u in utterances], np.float32)

    def _make(self, step: int, rank: int, world_size: int) -> WaveBatch:
        batch = super()._make(step, rank, world_size)
        drawn, offset, *_ = self._draw(step, rank, world_size)
        start = to_device((self._begin[drawn] + offset) * self._hop, self.device)
        steps = torch.arange(self.crop_frames * self._hop, device=self.device)
        wav = self._samples[start[:, None] + steps].float() / _FULL_SCALE
        valid = batch.mask.repeat_interleave(self._hop, dim=1)
        return WaveBatch(**vars(batch), wav=wav * valid, band=to_device(self._band[drawn], self.device))


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
