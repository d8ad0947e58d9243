"""Where crops are cut from: frames that sit in memory or on the GPU, or the memory-mapped shards themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.data.store import FeatureStore, Utterance

Whole = NDArray[np.int64]


class Frames(Protocol):
    """Cuts crops out of utterances, which are known by their place in a list."""

    def cut(self, drawn: Whole, offset: Whole, frames: int) -> tuple[Tensor, Tensor]:
        """Crops and what of them counts: -> (B, M, frames) float32, silent past the end; (B, frames).

        Silence is the logarithm of the mel contract's floor: a log-mel of 0 is louder than speech, and convolutions
        over the crop hear it from within.

        Args:
            drawn: (B,) places of the utterances.
            offset: (B,) first frame of each crop.
            frames: length of the crops.
        """
        ...


class ResidentFrames:
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

    def cut(self, drawn: Whole, offset: Whole, frames: int) -> tuple[Tensor, Tensor]:
        """Gather all crops at once; see `Frames`."""
        start = send(self._start[drawn] + offset, self.device)
        mask = counting(self._length[drawn] - offset, frames, self.device)
        steps = torch.arange(frames, device=self.device)
        mel = self._frames[start[:, None] + steps].float().masked_fill_(~mask[..., None], self._silence)
        return mel.transpose(1, 2), mask


class MappedFrames:
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

    def cut(self, drawn: Whole, offset: Whole, frames: int) -> tuple[Tensor, Tensor]:
        """Read all crops, one after another; see `Frames`."""
        crops = np.zeros((len(drawn), frames, self.store.spec.n_mels), np.float16)
        for crop, index, first in zip(crops, self._index[drawn], offset, strict=True):
            part = self.store.mel(index)[first : first + frames]
            crop[: len(part)] = part
        mask = counting(self._length[drawn] - offset, frames, self.device)
        mel = send(crops, self.device).float().masked_fill_(~mask[..., None], self._silence)
        return mel.transpose(1, 2), mask


def counting(left: Whole, frames: int, device: torch.device) -> Tensor:
    """True where a crop still has frames of its utterance: (B,) -> (B, frames)."""
    return torch.arange(frames, device=device) < send(left, device)[:, None]


def send(values: NDArray[np.int64] | NDArray[np.float16], device: torch.device) -> Tensor:
    """To the device, without waiting for a GPU."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor
