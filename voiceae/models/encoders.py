"""Content encoders, and speaker encoders: convolutional, a table of known speakers, or pretrained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.layers import BlockStack, StackFrames, apply_mask, downsample_mask
from voiceae.nn.norm import FrameNorm, InstanceNorm


class ContentPart(nn.Module):
    """A content encoder of any kind: normalised mel (B, M, T), mask (B, T) -> (B, C, ceil(T / rate)).

    Attributes:
        rate: mel frames per code frame.
        channels: C.
    """

    rate: int
    channels: int

    def join(self, speaker: nn.Module) -> None:
        """Take the speaker encoder of the model; most content encoders do not use it.

        Args:
            speaker: of the same model, (B, M, T) -> (B, S); not to be registered as a submodule here.
        """


class ContentEncoder(ContentPart):
    """Instance-normalised convolutions at 1/rate of the frame rate: (B, M, T) -> (B, D, ceil(T / rate)).

    AdaIN-VC's content encoder (Chou et al. 2019, arXiv 1904.05742) with ConvNeXt blocks. The input is
    instance-normalised per mel bin first, so that a voice's long-term spectrum and level never enter; the norms of the
    layers remove what of them the layers bring back.

    Args:
        n_mels: M.
        channels: D.
        hidden: width inside each block.
        n_blocks: number of blocks.
        rate: mel frames per code frame.
        kernel_size: of the blocks, in code frames.
    """

    def __init__(
        self, *, n_mels: int, channels: int, hidden: int, n_blocks: int, rate: int = 4, kernel_size: int = 7
    ) -> None:
        super().__init__()
        self.n_mels, self.rate, self.channels = n_mels, rate, channels
        self.norm_in = InstanceNorm()
        self.fold = StackFrames(rate)
        self.enter = nn.Linear(n_mels * rate, channels)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=InstanceNorm, kernel_size=kernel_size)
        self.norm_out = InstanceNorm()

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode: mel (B, M, T), mask (B, T) -> (B, D, T')."""
        x = self.enter(self.fold(self.norm_in(mel.transpose(1, 2), mask)))
        mask = downsample_mask(mask, self.rate)
        x = self.blocks(apply_mask(x, mask), mask)
        return self.norm_out(x, mask).transpose(1, 2)


class StackedContent(ContentPart):
    """Each level encodes the codes of the one before: (B, M, T) -> (B, C, T').

    Args:
        levels: from the mel inwards; each takes as many channels as the one before gives.
    """

    def __init__(self, *, levels: Sequence[ContentEncoder]) -> None:
        super().__init__()
        if not levels:
            raise ValueError("levels: needs at least one")
        for outer, inner in pairwise(levels):
            if inner.n_mels != outer.channels:
                raise ValueError(
                    f"levels: one gives {outer.channels} channels, the next takes {inner.n_mels}"
                )
        self.levels = nn.ModuleList(levels)
        self.rate, self.channels = prod(level.rate for level in levels), levels[-1].channels

    def masks(self, mask: Tensor | None) -> list[Tensor | None]:
        """Masks of the mel and of the codes of every level: (B, T) -> (B, T), ..., (B, T')."""
        masks = [mask]
        for level in self.levels:
            masks.append(downsample_mask(masks[-1], level.rate))  # type: ignore[arg-type]
        return masks

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode through all levels: mel (B, M, T), mask (B, T) -> (B, C, T')."""
        return self.encode_to_level(mel, mask, len(self.levels))

    def encode_to_level(self, mel: Tensor, mask: Tensor | None, height: int) -> Tensor:
        """Codes of the first `height` levels, the mel itself for 0: mel (B, M, T), mask (B, T) -> (B, C', T')."""
        x, masks = mel, self.masks(mask)
        for number in range(height):
            x = self.levels[number](x, masks[number])
        return x


POOLINGS = {"mean": 1, "statistics": 2}  # number of moments over time that a speaker encoder keeps


class SpeakerPart(nn.Module):
    """A speaker encoder of any kind: normalised mel (B, M, T), mask (B, T) -> (B, S) of unit length.

    Attributes:
        dim: S.
        limits: of its embeddings of new voices, a sentence for reports.
    """

    dim: int
    limits: str = ""

    def join(self, content: nn.Module, bottleneck: nn.Module) -> None:
        """Take the content encoder and bottleneck of the model; most speaker encoders do not use them.

        Args:
            content: of the same model; not to be registered as a submodule here.
            bottleneck: likewise.
        """

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the statistics that mels are normalised by, (M,) twice; most speaker encoders do not use them."""


class SpeakerEncoder(SpeakerPart):
    """Convolutions, pooling over valid frames, one unit-length vector: (B, M, T) -> (B, S).

    Mean and standard deviation over time as in x-vectors (Snyder et al. 2018), or the mean alone.

    Args:
        n_mels: M.
        channels: width of the blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        dim: S.
        rate: mel frames per frame of the blocks.
        kernel_size: of the blocks.
        pooling: "statistics" or "mean".

    Raises:
        ValueError: for an unknown pooling.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        channels: int,
        hidden: int,
        n_blocks: int,
        dim: int,
        rate: int = 4,
        kernel_size: int = 7,
        pooling: str = "statistics",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r}: expected one of {', '.join(POOLINGS)}")
        self.dim, self.moments, self.rate = dim, POOLINGS[pooling], rate
        self.fold = StackFrames(rate)
        self.enter = nn.Linear(n_mels * rate, channels)
        norm = partial(FrameNorm, channels)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.leave = nn.Linear(self.moments * channels, dim)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed: mel (B, M, T), mask (B, T) -> (B, S) of unit length."""
        x = self.enter(self.fold(apply_mask(mel.transpose(1, 2), mask)))
        mask = downsample_mask(mask, self.rate)
        x = self.blocks(apply_mask(x, mask), mask)
        # In float32: a unit vector of bfloat16 has a length that is wrong by up to 0.2 %.
        pooled = torch.cat(masked_moments(x, mask, eps=1e-4)[: self.moments], dim=-1)[:, 0]
        return functional.normalize(self.leave(pooled).float(), dim=-1)


LOGIT_SCALE = 16.0
"""Of the recogniser's cosines (AM-softmax, Wang et al. 2018, arXiv 1801.05599, has 30): two classes differ by up to
e^32 before the softmax, enough for one voice among hundreds to be certain."""


class SpeakerTable(SpeakerPart):
    """One learned vector per training speaker: (B, M, T) -> (B, S) of unit length.

    A table cannot embed a voice that is not in it. A speaker classifier is therefore trained beside it, and a recording
    is embedded as the row of the training speaker that it is classified as: conversion to a new voice gives the nearest
    training voice, not the new one.

    Args:
        n_speakers: rows, in the order of the training speakers' sorted names.
        dim: S.
        recogniser: any speaker encoder; only used to find the row.
    """

    limits = "a new voice is taken for the training voice that it sounds most like, and converted to that one"

    def __init__(self, *, n_speakers: int, dim: int, recogniser: SpeakerPart) -> None:
        super().__init__()
        if n_speakers < 1:
            raise ValueError(f"n_speakers {n_speakers}: a table needs at least one")
        self.n_speakers, self.dim = n_speakers, dim
        self.rows = nn.Parameter(torch.randn(n_speakers, dim))  # of any length; `lookup` normalises them
        self.recogniser = recogniser
        self.names = nn.Parameter(torch.randn(n_speakers, recogniser.dim))

    def lookup(self, index: Tensor) -> Tensor:
        """Vectors of training speakers: (B,) -> (B, S)."""
        return functional.normalize(self.rows[index], dim=-1)

    def recognise(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of the training speakers: normalised mel (B, M, T), mask (B, T) -> (B, n_speakers)."""
        embedded: Tensor = self.recogniser(mel, mask)
        with torch.autocast(mel.device.type, enabled=False):  # voices that are alike differ by little
            return LOGIT_SCALE * embedded.float() @ functional.normalize(self.names, dim=-1).T

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """The row of the likeliest training speaker: (B, M, T), mask (B, T) -> (B, S)."""
        return self.lookup(self.recognise(mel, mask).argmax(-1))


class PretrainedSpeaker(SpeakerPart):
    """Another model's speaker encoder inside this model, its weights in this model's file: (B, M, T) -> (B, S).

    The encoder was trained on mels normalised by its own model's statistics, so the mel is denormalised by this model's
    and normalised by those. Its weights are random until `take` fills them.

    Args:
        encoder: built as in the model that it comes from.
        n_mels: M.
    """

    mean: Tensor
    deviation: Tensor
    own_mean: Tensor
    own_deviation: Tensor

    def __init__(self, *, encoder: SpeakerPart, n_mels: int) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.dim = encoder.dim
        for name in ("mean", "own_mean"):
            self.register_buffer(name, torch.zeros(n_mels, 1))
        for name in ("deviation", "own_deviation"):
            self.register_buffer(name, torch.ones(n_mels, 1))
        self.train(self.training)

    def take(self, encoder: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        """Copy a trained encoder and the statistics, (M, 1) each, of the mels that it was trained on.

        Raises:
            ValueError: when its weights do not fit this encoder.
        """
        try:
            self.encoder.load_state_dict(encoder.state_dict())
        except RuntimeError as error:
            raise ValueError(" ".join(str(error).split()[:24])) from None
        self.own_mean.copy_(mean)
        self.own_deviation.copy_(deviation)

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the statistics by which this model normalises: (M,) twice."""
        self.mean.copy_(mean[:, None])
        self.deviation.copy_(deviation[:, None])

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the pretrained encoder stays in eval mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed: normalised mel (B, M, T), mask (B, T) -> (B, S) of unit length."""
        plain = mel * self.deviation + self.mean
        speaker: Tensor = self.encoder((plain - self.own_mean) / self.own_deviation, mask)
        return speaker
