"""The waves behind a feature store's mels, for training vocoders: 16-bit samples beside the shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from voiceae.data.batches import Batch, Crops
from voiceae.data.frames import send
from voiceae.data.shards import speech
from voiceae.data.store import FeatureStore, Utterance
from voiceae.errors import AudioError, StoreError
from voiceae.files import atomic_path
from voiceae.specs import AudioSpec

WAVES = "waves"
_FULL_SCALE = 32767.0
_AGAIN = f"remove {WAVES}/ in the store and add them again with voiceae prepare ... --waves"


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
    missing = [n for n in range(len(store.shards)) if not wave_path(store.path, n).is_file()]
    rows = {n: [u for u in store.utterances if u.shard == n] for n in missing}
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    done = run(joblib.delayed(_write_shard)(store.path, store.info, store.spec, n, rows[n]) for n in missing)
    for _ in tqdm(done, total=len(missing), desc="waves", unit="shard", disable=not progress):
        pass


def _write_shard(
    root: Path, info: dict[str, Any], spec: AudioSpec, shard: int, rows: list[Utterance]
) -> None:
    waves, options = [np.zeros(0, np.int16)], info["options"]
    for row in sorted(rows, key=lambda row: row.start):
        path = Path(info["corpus"]) / row.path
        try:
            wav, _ = speech(path, spec, cut_silence=options["trim"], min_seconds=options["min_seconds"])
        except AudioError as error:
            raise StoreError(f"{root}: the recordings behind it cannot be read any more: {error}") from None
        if spec.frames(len(wav)) != row.frames:
            raise StoreError(f"{root}: {path} is not the recording that the store was made from")
        wav = np.pad(wav, (0, max(0, spec.samples(row.frames) - len(wav))))[: spec.samples(row.frames)]
        waves.append((np.clip(wav, -1.0, 1.0) * _FULL_SCALE).round().astype(np.int16))
    path = wave_path(root, shard)
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        np.save(temporary, np.concatenate(waves))


class WaveCrops(Crops):
    """Crops whose batches have waves too, held in memory, or on the GPU; arguments as in `Crops`.

    Raises:
        StoreError: when the split is empty, or the store has no waves or those of other mels.
    """

    def __init__(self, store: FeatureStore, split: str, **options: Any) -> None:
        super().__init__(store, split, **options)
        self._hop = store.spec.hop_length
        utterances = [store.utterances[index] for index in self._index]
        shards = {shard: _open(store, shard) for shard in {u.shard for u in utterances}}
        parts = [shards[u.shard][u.start * self._hop : (u.start + u.frames) * self._hop] for u in utterances]
        margin = np.zeros(self.crop_frames * self._hop, np.int16)
        self._samples = torch.from_numpy(np.concatenate([*parts, margin])).to(self.device)
        self._begin = np.concatenate(([0], self._length.cumsum()[:-1]))

    def _make(self, step: int, rank: int, world_size: int) -> WaveBatch:
        batch = super()._make(step, rank, world_size)
        drawn, offset, *_ = self._draw(step, rank, world_size)
        start = send((self._begin[drawn] + offset) * self._hop, self.device)
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
    wanted = store.spec.samples(store.info["shard_frames"][shard])
    if samples.shape != (wanted,) or samples.dtype != np.int16:
        raise StoreError(
            f"{path}: holds {samples.dtype} {samples.shape}, the mels beside it stand for {wanted} samples: they are "
            f"not of the same recordings; {_AGAIN}"
        )
    return samples
