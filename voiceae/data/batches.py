"""Batches by index from a store that sits whole in memory, or on the GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.data.store import FeatureStore
from voiceae.errors import StoreError


@dataclass(frozen=True)
class Batch:
    """Crops of speech, and other speech of the same speakers.

    Attributes:
        mel: (B, M, T) what is said.
        mask: (B, T) False past the end of a short utterance.
        reference: (B, M, R) another utterance of the speaker, or another part of the same one.
        reference_mask: (B, R).
        speaker: (B,) index among the speakers of the split.
        index: (B,) row of the utterance in the store.
    """

    mel: Tensor
    mask: Tensor
    reference: Tensor
    reference_mask: Tensor
    speaker: Tensor
    index: Tensor

    @property
    def frames(self) -> int:
        """Mel frames that count, padding included: B * T."""
        return self.mel.shape[0] * self.mel.shape[-1]


class Crops:
    """Random crops, a pure function of (seed, step, rank): no state, so that training resumes exactly.

    Speakers are drawn by the square root of what they recorded, so that a long recording does not drown the others;
    an utterance of a speaker by its length.

    Args:
        store: the feature store.
        split: one of the store's splits.
        batch_size: crops per step and rank.
        crop_frames: T.
        reference_frames: R.
        seed: of all draws.
        device: where the frames lie and the batches come out.

    Raises:
        StoreError: when the split is empty.
    """

    def __init__(
        self,
        store: FeatureStore,
        split: str,
        *,
        batch_size: int,
        crop_frames: int,
        reference_frames: int,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> None:
        utterances = sorted(store.split(split), key=lambda u: (u.speaker, u.index))
        if not utterances:
            raise StoreError(f"{store.path}: no utterances in split {split!r}")
        self.batch_size, self.crop_frames, self.reference_frames = batch_size, crop_frames, reference_frames
        self.seed = seed
        self.device = torch.device(device)
        self.speakers = sorted({u.speaker for u in utterances})
        names = np.array([u.speaker for u in utterances])
        self._speaker = np.searchsorted(self.speakers, names)
        self._index = np.array([u.index for u in utterances])
        self._length = np.array([u.frames for u in utterances])
        self._start = np.concatenate(([0], self._length.cumsum()[:-1]))
        self._first = np.searchsorted(self._speaker, np.arange(len(self.speakers)))
        self._count = np.bincount(self._speaker, minlength=len(self.speakers))
        recorded = np.bincount(self._speaker, weights=self._length)
        self._chance = np.cumsum(self._length / np.sqrt(recorded[self._speaker]))
        margin = np.zeros((max(crop_frames, reference_frames), store.spec.n_mels), np.float16)
        frames = np.concatenate([store.mel(u.index) for u in utterances] + [margin])
        self._frames = torch.from_numpy(frames).to(self.device)

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch of one step and rank; ranks never draw the same numbers.

        Args:
            step: from 0.
            rank: of this process.
            world_size: number of processes.
        """
        rng = np.random.default_rng((self.seed, step * world_size + rank))
        drawn = np.searchsorted(self._chance, rng.random(self.batch_size) * self._chance[-1], side="right")
        room = np.maximum(self._length[drawn] - self.crop_frames, 0)
        offset = (rng.random(self.batch_size) * (room + 1)).astype(np.int64)
        mel, mask = self._cut(drawn, offset, self.crop_frames)
        reference, reference_mask = self._cut(*self._other_part(drawn, offset, rng), self.reference_frames)
        return Batch(
            mel=mel,
            mask=mask,
            reference=reference,
            reference_mask=reference_mask,
            speaker=self._send(self._speaker[drawn]),
            index=self._send(self._index[drawn]),
        )

    def _other_part(
        self, drawn: NDArray[np.int64], offset: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Another utterance of the speaker; for a speaker with one, a part as far from the crop as can be."""
        speaker = self._speaker[drawn]
        first, count = self._first[speaker], self._count[speaker]
        step = 1 + (rng.random(self.batch_size) * np.maximum(count - 1, 0)).astype(np.int64)
        other = first + (drawn - first + step) % count
        length = self._length[other]
        room = np.maximum(length - self.reference_frames, 0)
        anywhere = (rng.random(self.batch_size) * (room + 1)).astype(np.int64)
        end = offset + self.crop_frames
        slack = np.maximum(length - self.reference_frames - self.crop_frames, 0)
        apart = (end + (rng.random(self.batch_size) * (slack + 1)).astype(np.int64)) % np.maximum(length, 1)
        return other, np.where(other == drawn, np.minimum(apart, room), anywhere)

    def _cut(self, drawn: NDArray[np.int64], offset: NDArray[np.int64], frames: int) -> tuple[Tensor, Tensor]:
        """Gather all crops at once: -> (B, M, frames), (B, frames)."""
        start = self._send(self._start[drawn] + offset)
        left = self._send(self._length[drawn] - offset)
        steps = torch.arange(frames, device=self.device)
        mask = steps < left[:, None]
        mel = self._frames[start[:, None] + steps].float() * mask[..., None]
        return mel.transpose(1, 2), mask

    def _send(self, values: NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor
