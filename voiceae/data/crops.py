"""Crops to train on: which ones a batch holds, where their frames are read from, and reading them one step ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.data.store import FeatureStore, Utterance
from voiceae.errors import StoreError
from voiceae.nn.layers import lengths_to_mask

Made = TypeVar("Made")


class Prefetcher(Generic[Made]):
    """Calls a pure function of (step, rank, world_size) one step ahead of the caller, on a thread of its own.

    Args:
        make: the function; what it waits for (a disk) is what is saved.
        device: that the function puts things on.
    """

    def __init__(self, make: Callable[[int, int, int], Made], device: torch.device | None = None) -> None:
        self._make = make
        # A thread begins on GPU 0: pinning memory there would take half a gigabyte of it for every process.
        on_gpu = device is not None and device.type == "cuda"
        begin: Callable[[], object] | None = partial(torch.cuda.set_device, device) if on_gpu else None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch", initializer=begin)
        self._key: tuple[int, int, int] | None = None
        self._made: Future[Made] | None = None

    def get(self, step: int, rank: int, world_size: int) -> Made:
        """What the function gives, and begin with the next step."""
        key = (step, rank, world_size)
        expected = self._made if self._key == key else None
        made = expected.result() if expected is not None else self._make(*key)
        self._key = (step + 1, rank, world_size)
        self._made = self._pool.submit(self._make, *self._key)
        return made


Indices = NDArray[np.int64]


class CropReader(Protocol):
    """Cuts crops out of utterances, which are known by their place in a list."""

    def read(self, drawn: Indices, offset: Indices, frames: int) -> tuple[Tensor, Tensor]:
        """Crops and what of them counts: -> (B, M, frames) float32, silent past the end; (B, frames).

        Silence is the logarithm of the mel contract's floor: a log-mel of 0 is louder than speech, and convolutions
        over the crop hear it from within.

        Args:
            drawn: (B,) places of the utterances.
            offset: (B,) first frame of each crop.
            frames: length of the crops.
        """
        ...


class InMemoryCropReader:
    """All frames side by side on the device: one gather a batch.

    Args:
        store: the feature store.
        utterances: that crops are cut from.
        longest: crop that will be asked for.
        device: where the frames lie and the crops come out.
    """

    def __init__(
        self, store: FeatureStore, utterances: Sequence[Utterance], longest: int, device: torch.device
    ) -> None:
        self.device, self._silence = device, math.log(store.spec.log_floor)
        self._length = np.array([u.frames for u in utterances])
        self._start = np.concatenate(([0], self._length.cumsum()[:-1]))
        margin = np.zeros((longest, store.spec.n_mels), np.float16)
        frames = np.concatenate([store.mel(u.index) for u in utterances] + [margin])
        self._frames = torch.from_numpy(frames).to(device)

    def read(self, drawn: Indices, offset: Indices, frames: int) -> tuple[Tensor, Tensor]:
        """Gather all crops at once; see `CropReader`."""
        start = to_device(self._start[drawn] + offset, self.device)
        mask = lengths_to_mask(to_device(self._length[drawn] - offset, self.device), frames)
        steps = torch.arange(frames, device=self.device)
        mel = self._frames[start[:, None] + steps].float().masked_fill_(~mask[..., None], self._silence)
        return mel.transpose(1, 2), mask


class MemoryMappedCropReader:
    """Nothing in memory but the crops of a batch: for stores larger than it.

    Args:
        store: the feature store.
        utterances: that crops are cut from.
        device: where the crops come out.
    """

    def __init__(self, store: FeatureStore, utterances: Sequence[Utterance], device: torch.device) -> None:
        self.store, self.device, self._silence = store, device, math.log(store.spec.log_floor)
        self._index = np.array([u.index for u in utterances])
        self._length = np.array([u.frames for u in utterances])

    def read(self, drawn: Indices, offset: Indices, frames: int) -> tuple[Tensor, Tensor]:
        """Read all crops, one after another; see `CropReader`."""
        crops = np.zeros((len(drawn), frames, self.store.spec.n_mels), np.float16)
        for crop, index, first in zip(crops, self._index[drawn], offset, strict=True):
            part = self.store.mel(index)[first : first + frames]
            crop[: len(part)] = part
        mask = lengths_to_mask(to_device(self._length[drawn] - offset, self.device), frames)
        mel = to_device(crops, self.device).float().masked_fill_(~mask[..., None], self._silence)
        return mel.transpose(1, 2), mask


def to_device(values: NDArray[np.int64] | NDArray[np.float16], device: torch.device) -> Tensor:
    """To the device, without waiting for a GPU."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


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
        source: (B, M, T) for an aligned item the same frames of another speaker's member of the group, which `mel` is
            the true conversion of; `mel` itself for the others. None stands for `mel`.
        aligned: (B,) bool, the items drawn as aligned pairs; none by default.
    """

    mel: Tensor
    mask: Tensor
    reference: Tensor
    reference_mask: Tensor
    speaker: Tensor
    index: Tensor
    source: Tensor | None = field(default=None, kw_only=True)
    aligned: Tensor = field(default=None, kw_only=True)  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if vars(self)["aligned"] is None:
            object.__setattr__(self, "aligned", torch.zeros_like(self.index, dtype=torch.bool))

    @property
    def frames(self) -> int:
        """Mel frames that count, padding included: B * T."""
        return self.mel.shape[0] * self.mel.shape[-1]

    @property
    def other_speaker(self) -> Tensor:
        """For each item the nearest one before it of another speaker, or just the one before: (B,) -> (B,)."""
        places = torch.arange(len(self.speaker), device=self.speaker.device)
        distance = (places[:, None] - places - 1) % len(places)
        same = self.speaker[:, None] == self.speaker
        return (distance + len(places) * same).argmin(1)


def _weighted(cumulative: NDArray[np.float64], uniform: NDArray[np.float64]) -> Indices:
    """Places drawn by their weights: cumulative (N,), uniform draws (B,) -> (B,)."""
    return np.searchsorted(cumulative, uniform * cumulative[-1], side="right")


class AlignedPairs:
    """Which items of a batch are aligned pairs, and who is whose source.

    Args:
        groups: name of each utterance's group, empty for none; (N,) in all.
        share: chance of an item to be a pair.

    Attributes:
        grouped: (N,) whether an utterance has others to be paired with.
    """

    def __init__(self, groups: Sequence[str], share: float) -> None:
        names, number = np.unique(np.array(groups), return_inverse=True)
        count = np.bincount(number)
        self.share = share
        self.grouped: NDArray[np.bool_] = (names != "")[number] & (count > 1)[number]
        # Utterances by group, where each group begins, and where each utterance stands in this order
        self._members = np.argsort(number, kind="stable")
        self._first = (np.cumsum(count) - count)[number]
        self._count = count[number]
        self._place = np.argsort(self._members)

    def draw(self, others: Indices, targets: Indices, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Utterances of a batch and the sources of them, which are others of their group or they themselves.

        Args:
            others: (B,) what the items are that are no pairs.
            targets: (B,) what the items are that are pairs, utterances with a group.
            rng: of the draw.
        """
        pair = rng.random(len(others)) < self.share
        first, count = self._first[targets], self._count[targets]
        step = 1 + (rng.random(len(targets)) * (count - 1)).astype(np.int64)
        sources = self._members[first + (self._place[targets] - first + step) % count]
        return np.where(pair, targets, others), np.where(pair, sources, others)


class CropSampler:
    """Random crops, a pure function of (seed, step, rank): no state, so that training resumes exactly.

    Speakers are drawn by the square root of what they recorded, so that a long recording does not drown the others;
    an utterance of a speaker by its length. A step's draw is for all processes together, and each takes its share of
    it: several processes learn from the very crops that one of so many times the batch size would.

    Of an aligned pair, `mel` is the one member of the group and `source` another, `reference` another sentence of the
    speaker of `mel` (or another part, where there is none). The other items are then recordings outside of groups, if
    the split has some.

    Args:
        store: the feature store.
        split: one of the store's splits.
        batch_size: crops per step and rank.
        crop_frames: T.
        reference_frames: R.
        seed: of all draws.
        device: where the batches come out.
        resident: keep all frames on the device; otherwise crops are read from the memory-mapped shards one step
            ahead, and a step's crops are shared out by utterance, so that those of a rank lie in its own part of the
            store. The parts are drawn: each has some utterances of all speakers, for losses compare the voices of a
            rank's batch.
        aligned_share: chance of an item to be an aligned pair, 0 to 1.

    Raises:
        StoreError: when the split is empty, or has no aligned groups to draw pairs from.
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
        resident: bool = True,
        aligned_share: float = 0.0,
    ) -> None:
        utterances = sorted(store.split(split), key=lambda u: (u.speaker, u.index))
        if not utterances:
            raise StoreError(f"{store.path}: no utterances in split {split!r}")
        self.batch_size, self.crop_frames, self.reference_frames = batch_size, crop_frames, reference_frames
        self.seed, self.resident = seed, resident
        self.device = torch.device(device)
        self.speakers = sorted({u.speaker for u in utterances})
        names = np.array([u.speaker for u in utterances])
        self._speaker = np.searchsorted(self.speakers, names)
        self._index = np.array([u.index for u in utterances])
        self._length = np.array([u.frames for u in utterances])
        self._first = np.searchsorted(self._speaker, np.arange(len(self.speakers)))
        self._count = np.bincount(self._speaker, minlength=len(self.speakers))
        self._part = np.random.default_rng(seed).permutation(len(utterances))
        self._pairs: AlignedPairs | None = None
        drawn_from = np.ones(len(utterances), bool)
        if aligned_share:
            self._pairs = AlignedPairs([u.group for u in utterances], aligned_share)
            if not self._pairs.grouped.any():
                raise StoreError(
                    f"{store.path}: no aligned groups in split {split!r}; prepare them with --aligned, or leave "
                    "data.aligned_share at 0"
                )
            self._aligned_weight = self._weigh(self._pairs.grouped)
            drawn_from = ~self._pairs.grouped if not self._pairs.grouped.all() else drawn_from
        self._cumulative_weight = self._weigh(drawn_from)
        longest = max(crop_frames, reference_frames)
        self._frames: CropReader = (
            InMemoryCropReader(store, utterances, longest, self.device)
            if resident
            else MemoryMappedCropReader(store, utterances, self.device)
        )
        self._prefetcher = None if resident else Prefetcher(self._make, self.device)

    def _weigh(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Cumulative weights of the utterances to draw from some of them: (N,) -> (N,)."""
        length = self._length * chosen
        recorded = np.bincount(self._speaker, weights=length)
        return np.cumsum(length / np.sqrt(np.maximum(recorded, 1)[self._speaker]))

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch of one step and rank; each draw of a step goes to one rank, but may draw the same crop again.

        Args:
            step: from 0.
            rank: of this process.
            world_size: number of processes.
        """
        return (self._prefetcher.get if self._prefetcher else self._make)(step, rank, world_size)

    def _make(self, step: int, rank: int, world_size: int) -> Batch:
        drawn, offset, other, other_offset, source = self._draw(step, rank, world_size)
        mel, mask = self._frames.read(drawn, offset, self.crop_frames)
        heard, pairs = mel, np.flatnonzero(source != drawn)
        if len(pairs):
            theirs, _ = self._frames.read(source[pairs], offset[pairs], self.crop_frames)
            heard = mel.index_copy(0, to_device(pairs, self.device), theirs)
        reference, reference_mask = self._frames.read(other, other_offset, self.reference_frames)
        return Batch(
            mel=mel,
            mask=mask,
            reference=reference,
            reference_mask=reference_mask,
            speaker=to_device(self._speaker[drawn], self.device),
            index=to_device(self._index[drawn], self.device),
            source=heard,
            aligned=to_device((source != drawn).astype(np.int64), self.device).bool(),
        )

    def _draw(self, step: int, rank: int, world_size: int) -> Indices:
        """A rank's utterances, offsets in them, references, offsets in those, and sources: -> (5, batch_size)."""
        rng, count = np.random.default_rng((self.seed, step)), self.batch_size * world_size
        drawn = _weighted(self._cumulative_weight, rng.random(count))
        source = drawn
        if self._pairs is not None:
            # A generator of their own, so that the other items are those of a training with another share
            pair_rng = np.random.default_rng((self.seed, step, 1))
            targets = _weighted(self._aligned_weight, pair_rng.random(count))
            drawn, source = self._pairs.draw(drawn, targets, pair_rng)
        room = np.maximum(self._length[drawn] - self.crop_frames, 0)
        offset = (rng.random(count) * (room + 1)).astype(np.int64)
        draws = np.stack([drawn, offset, *self._other_part(drawn, offset, rng), source])
        order = np.arange(count) if self.resident else np.argsort(self._part[drawn], kind="stable")
        return draws[:, np.sort(order[rank * self.batch_size : (rank + 1) * self.batch_size])]

    def _other_part(
        self, drawn: Indices, offset: Indices, rng: np.random.Generator
    ) -> tuple[Indices, Indices]:
        """Another utterance of the speaker; for a speaker with one, a part as far from the crop as can be."""
        speaker = self._speaker[drawn]
        first, count = self._first[speaker], self._count[speaker]
        step = 1 + (rng.random(len(drawn)) * np.maximum(count - 1, 0)).astype(np.int64)
        other = first + (drawn - first + step) % count
        length = self._length[other]
        room = np.maximum(length - self.reference_frames, 0)
        anywhere = (rng.random(len(drawn)) * (room + 1)).astype(np.int64)
        end = offset + self.crop_frames
        slack = np.maximum(length - self.reference_frames - self.crop_frames, 0)
        apart = (end + (rng.random(len(drawn)) * (slack + 1)).astype(np.int64)) % np.maximum(length, 1)
        return other, np.where(other == drawn, np.minimum(apart, room), anywhere)
