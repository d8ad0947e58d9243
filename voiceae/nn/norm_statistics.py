"""Instance norms with statistics of something else than what they are given: kept, held, running.

A norm over an utterance asks for all of it. Where audio goes by in pieces the statistics are declared instead: they are
recorded over a sample and held while the pieces pass, or they run along with the audio. The same goes for the source's
voice, where a content encoder asks for that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.norm import InstanceNorm, Moments

Model = TypeVar("Model", bound=nn.Module)
MIN_FRAMES = 16
"""Code frames, 0.7 s, below which a running variance is no better than that of what is at hand."""

Source = Callable[[Tensor, Tensor | None, float], Moments]


class RecordedStatistics:
    """The moments of what is given, kept."""

    def __init__(self) -> None:
        self.kept: Moments | None = None

    def __call__(self, x: Tensor, mask: Tensor | None, eps: float) -> Moments:
        """(B, T, D) -> (B, 1, D), (B, 1, D)."""
        self.kept = masked_moments(x, mask, eps)
        return self.kept


class FixedStatistics:
    """The same moments whatever is given.

    Args:
        moments: (1, 1, D) each.
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments

    def __call__(self, x: Tensor, mask: Tensor | None, eps: float) -> Moments:
        """(B, T, D) -> (1, 1, D), (1, 1, D)."""
        return self.moments


class StreamWindow:
    """What all running norms of one stream go by.

    Attributes:
        frames: code frames in what the model is given.
        new_frames: how many of those have not been counted yet; 0 leaves the statistics as they are.
        look_ahead: how many follow the fresh ones. What stands at the very end lacks its surroundings, so that its
            statistics are not those of speech.
    """

    def __init__(self, look_ahead: int = 0) -> None:
        self.frames, self.new_frames, self.look_ahead = 1, 0, look_ahead


class RunningStatistics:
    """Moments of all that was counted so far, the latest `memory` frames weighing most.

    At first the mean over what was heard; from `memory` on, an exponential one of that time constant.

    Args:
        clock: says which frames are new.
        memory: code frames.
        start: moments to begin with, (1, 1, D) each.
        start_frames: code frames that they count for.
    """

    def __init__(
        self, clock: StreamWindow, memory: float, start: Moments | None = None, start_frames: float = 0.0
    ) -> None:
        self.clock, self.memory = clock, memory
        self._count = start_frames if start is not None else 0.0
        self._mean: Tensor | None = None if start is None else start[0]
        self._variance: Tensor | None = None if start is None else start[1].square()

    def __call__(self, x: Tensor, mask: Tensor | None, eps: float) -> Moments:
        """(1, T, D) -> (1, 1, D), (1, 1, D)."""
        per_code = max(1, x.shape[1] // self.clock.frames)
        stop = x.shape[1] - self.clock.look_ahead * per_code
        fresh = x[:, max(0, stop - self.clock.new_frames * per_code) : max(0, stop)]
        if fresh.shape[1]:
            self._add(*_moments_of_few(fresh.float(), eps), self.clock.new_frames)
        if self._mean is None or self._variance is None or self._count < min(MIN_FRAMES, self.memory):
            return masked_moments(x, mask, eps)
        return self._mean, self._variance.sqrt()

    def _add(self, mean: Tensor, variance: Tensor | float, frames: int) -> None:
        """Of both groups together, after Chan, Golub and LeVeque (1983)."""
        if self._mean is None or self._variance is None:
            self._mean, self._count = mean, float(frames)
            self._variance = torch.zeros_like(mean).add_(variance)
            return
        share = frames / (self._count + frames)
        step = mean - self._mean
        apart = torch.addcmul(self._variance, step, step, value=share)
        self._variance = apart.mul_(1 - share).add_(variance, alpha=share)
        self._mean = torch.add(self._mean, step, alpha=share)
        self._count = min(self._count + frames, self.memory)


def _moments_of_few(x: Tensor, eps: float) -> tuple[Tensor, Tensor | float]:
    """Mean and variance plus `eps`: (1, T, D) -> (1, 1, D) each; of one frame they are itself and `eps`."""
    if x.shape[1] == 1:
        return x, eps
    variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
    return mean, variance + eps


class CachedSpeaker(nn.Module):
    """The voice of what it was given first, whatever it is given later: (B, M, T) -> (B, S).

    For content encoders that ask whose voice they hear (`ContentPart.join`): of a piece they would be told something
    else than of the whole.

    Args:
        speaker: hears it; none is asked where `voice` is set before.
    """

    def __init__(self, speaker: nn.Module) -> None:
        super().__init__()
        self._speaker = (speaker,)  # in a tuple it does not count as a part
        self.voice: Tensor | None = None
        self.used = False

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised mel (B, M, T), mask (B, T) -> (B, S)."""
        self.used = True
        if self.voice is None:
            self.voice = self._speaker[0](mel, mask)
        return self.voice


def instance_norms(model: nn.Module) -> list[InstanceNorm]:
    """Every instance norm, in an order that is the same for every copy of the model."""
    return [module for module in model.modules() if isinstance(module, InstanceNorm)]


def with_norm_statistics(model: Model, sources: Callable[[int], Source]) -> Model:
    """A copy that shares all weights but takes its norms' statistics from elsewhere; the model stays as it is.

    Args:
        model: with any number of instance norms.
        sources: number of the norm -> where its moments come from.
    """
    twin = weight_sharing_copy(model)
    for index, norm in enumerate(instance_norms(twin)):
        norm.moments = sources(index)
    return twin


def weight_sharing_copy(model: Model) -> Model:
    """A copy that shares all weights."""
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def recorded_statistics(model: nn.Module) -> list[Moments | None]:
    """What the norms of a copy made with `RecordedStatistics` have kept; None where one was not asked."""
    return [
        norm.moments.kept if isinstance(norm.moments, RecordedStatistics) else None
        for norm in instance_norms(model)
    ]
