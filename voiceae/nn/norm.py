"""Instance normalisation over valid frames, plain or steered by a speaker vector, and where its statistics come from.

An instance norm takes mean and deviation from the whole utterance. Where audio passes in pieces there is no whole: the
statistics are then recorded over a sample of it and fixed (`RecordedStatistics`, `FixedStatistics`), or run along with
the stream (`RunningStatistics`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.layers import apply_mask

Model = TypeVar("Model", bound=nn.Module)
EPS = 1e-5  # added to variances; torch's norms and the paper's code use the same
# Code frames, 0.7 s: over fewer a running variance is no better than that of the frames at hand
MIN_FRAMES = 16

Moments = tuple[Tensor, Tensor]
"""Mean and deviation over time, (B, 1, D) each."""
MomentsSource = Callable[[Tensor, Tensor | None, float], Moments]
"""Where a norm takes its moments from: `(x, mask, eps) -> Moments`."""


class InstanceNorm(nn.Module):
    """Zero mean, unit variance per utterance and channel: (B, T, D), (B, T) -> (B, T, D).

    Removes the speaker's long-term spectrum from the features (Chou et al. 2019, arXiv 1904.05742).

    Attributes:
        moments: where mean and deviation come from, by default `masked_moments` of the input.
    """

    moments: MomentsSource = staticmethod(masked_moments)

    def __init__(self, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Normalise; `speaker` is ignored: all norms are called alike, so that any can stand in a `Block`."""
        mean, deviation = self.moments(x, mask, self.eps)
        return apply_mask((x - mean.to(x.dtype)) / deviation.to(x.dtype), mask)


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm whose scale and shift come from a speaker vector: (B, T, D), (B, S) -> (B, T, D).

    Huang and Belongie 2017 (arXiv 1703.06868), as in AdaIN-VC (arXiv 1904.05742).
    """

    of_the_speaker_alone = "scale_and_shift"

    def __init__(self, channels: int, speaker_dim: int, eps: float = EPS) -> None:
        super().__init__()
        self.norm = InstanceNorm(eps)
        self.affine = nn.Linear(speaker_dim, 2 * channels)
        nn.init.zeros_(self.affine.bias)  # with `1 + scale` below: begins near a plain instance norm

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Normalise, then scale and shift by the speaker."""
        assert speaker is not None, "adaptive instance norm needs a speaker vector"
        scale, shift = self.scale_and_shift(speaker)
        return apply_mask(self.norm(x, mask) * scale + shift, mask)

    def scale_and_shift(self, speaker: Tensor) -> Moments:
        """Scale and shift for a speaker: (B, S) -> (B, 1, D), (B, 1, D)."""
        scale, shift = self.affine(speaker)[:, None].chunk(2, dim=-1)
        return 1 + scale, shift


class FrameNorm(nn.Module):
    """Layer norm of each frame: (B, T, D) -> (B, T, D); keeps the differences between utterances."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Normalise each frame by itself; `speaker` is ignored."""
        return apply_mask(self.norm(x), mask)


class RecordedStatistics:
    """Takes the moments of its input, as usual, and keeps them."""

    def __init__(self) -> None:
        self.recorded: Moments | None = None

    def __call__(self, x: Tensor, mask: Tensor | None, eps: float) -> Moments:
        """(B, T, D) -> (B, 1, D), (B, 1, D)."""
        self.recorded = masked_moments(x, mask, eps)
        return self.recorded


class FixedStatistics:
    """The same moments for any input.

    Args:
        moments: (1, 1, D) each.
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments

    def __call__(self, x: Tensor, mask: Tensor | None, eps: float) -> Moments:
        """(B, T, D) -> (1, 1, D), (1, 1, D)."""
        return self.moments


class StreamWindow:
    """The window of a stream that a model is given, shared by all its running norms.

    Attributes:
        frames: code frames in the window.
        new_frames: how many of those have not been counted yet; 0 leaves the statistics unchanged.
        look_ahead: how many follow the new ones. Frames at the very end lack their right context, so that their
            activations are not those of speech; they are not counted.
    """

    def __init__(self, look_ahead: int = 0) -> None:
        self.frames, self.new_frames, self.look_ahead = 1, 0, look_ahead


class RunningStatistics:
    """Moments of all frames so far: a plain mean at first, from `memory` frames on an exponential one.

    Args:
        window: tells which frames are new.
        memory: code frames.
        start: moments to begin with, (1, 1, D) each.
        start_frames: code frames that they count for.
    """

    def __init__(
        self, window: StreamWindow, memory: float, start: Moments | None = None, start_frames: float = 0.0
    ) -> None:
        self.window, self.memory = window, memory
        self._count = start_frames if start is not None else 0.0
        self._mean: Tensor | None = None if start is None else start[0]
        self._variance: Tensor | None = None if start is None else start[1].square()

    def __call__(self, x: Tensor, mask: Tensor | None, eps: float) -> Moments:
        """(1, T, D) -> (1, 1, D), (1, 1, D)."""
        per_code = max(1, x.shape[1] // self.window.frames)
        stop = x.shape[1] - self.window.look_ahead * per_code
        fresh = x[:, max(0, stop - self.window.new_frames * per_code) : max(0, stop)]
        if fresh.shape[1] == 1:  # of one frame they are itself and `eps`
            self._add(fresh.float(), eps, self.window.new_frames)
        elif fresh.shape[1]:
            variance, mean = torch.var_mean(fresh.float(), dim=1, keepdim=True, correction=0)
            self._add(mean, variance + eps, self.window.new_frames)
        if self._mean is None or self._variance is None or self._count < min(MIN_FRAMES, self.memory):
            return masked_moments(x, mask, eps)
        return self._mean, self._variance.sqrt()

    def _add(self, mean: Tensor, variance: Tensor | float, frames: int) -> None:
        """Moments of both groups together."""
        if self._mean is None or self._variance is None:
            self._mean, self._count = mean, float(frames)
            self._variance = torch.zeros_like(mean).add_(variance)
            return
        # Chan, Golub and LeVeque 1983 ("Algorithms for computing the sample variance", The American Statistician 37),
        # with weights: var = (1 - w) var_a + w var_b + w (1 - w) (mean_b - mean_a)^2. Squares of the
        # values themselves are never subtracted, which in float32 would lose a variance beside a large mean.
        share = frames / (self._count + frames)
        step = mean - self._mean
        apart = torch.addcmul(self._variance, step, step, value=share)
        self._variance = apart.mul_(1 - share).add_(variance, alpha=share)
        self._mean = torch.add(self._mean, step, alpha=share)
        self._count = min(self._count + frames, self.memory)


class CachedSpeaker(nn.Module):
    """Speaker encoder that embeds its first input only, and then repeats that: (B, M, T) -> (B, S).

    For content encoders that take the source's embedding (`ContentPart.join`), which for a piece would be another one
    than for the whole recording.

    Args:
        speaker: the encoder; not called where `voice` is set before.

    Attributes:
        voice: (B, S), None before the first call.
        used: whether anything has called it.
    """

    def __init__(self, speaker: nn.Module) -> None:
        super().__init__()
        self._speaker = (speaker,)  # in a tuple, so that it is not registered as a submodule
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


def with_norm_statistics(model: Model, sources: Callable[[int], MomentsSource]) -> Model:
    """A copy that shares all weights but takes its norms' statistics from elsewhere; the model is unchanged.

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
    """What the norms of a copy made with `RecordedStatistics` have kept; None where one was not called."""
    return [
        norm.moments.recorded if isinstance(norm.moments, RecordedStatistics) else None
        for norm in instance_norms(model)
    ]
