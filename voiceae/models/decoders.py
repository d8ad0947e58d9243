"""Decoders: units, speaker and pitch back into a mel, and a stack of decoders for stacked codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.models.timbre import Timbre, TimbreAttention
from voiceae.nn.layers import BlockStack, MaskedConv, StackFrames, UnstackFrames, apply_mask, downsample_mask
from voiceae.nn.norm import AdaptiveInstanceNorm


@dataclass(frozen=True)
class DecoderInput:
    """All that a decoder makes a mel from.

    Attributes:
        units: (B, D, T') of the bottleneck.
        speaker: (B, S).
        pitch: (B, K, T) of the pitch stream; K may be 0, T is the number of frames to decode.
        harmonics: (B, M, T) as the pitch stream renders them, or (B, 0, T).
        mask: (B, T) valid frames, all by default.
        timbre: frames of the reference to look up; None where nothing but the speaker vector is known.
    """

    units: Tensor
    speaker: Tensor
    pitch: Tensor
    harmonics: Tensor
    mask: Tensor | None = None
    timbre: Timbre | None = None

    @property
    def frames(self) -> int:
        """T, the number of frames to decode."""
        return self.pitch.shape[-1]


class DecoderPart(nn.Module):
    """A decoder of any kind: `DecoderInput` -> normalised mel (B, M, T).

    Attributes:
        rate: mel frames per code frame.
        pitch_bins: K, 0 without a pitch stream.
        timbre_dim: E of the tokens that it looks up, 0 for none.
    """

    rate: int
    pitch_bins: int
    timbre_dim: int = 0


class Decoder(DecoderPart):
    """Speaker-adaptive blocks at 1/rate of the frame rate, a light head at the full one: `DecoderInput` -> (B, M, T).

    The head is given the harmonics that the pitch stream expects, so that the blocks only have to shape them.

    Args:
        dim: D, of the units.
        speaker_dim: S.
        n_mels: M.
        channels: width of the blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        rate: mel frames per code frame.
        kernel_size: of the blocks, in code frames.
        pitch_bins: K of the pitch stream, 0 without one.
        pitch_dim: channels that each frame's pitch is mapped to for the blocks.
        head_dim: channels per frame of the head.
        timbre_dim: E of the reference's tokens, 0 to look up none.
        timbre_before: blocks before which they are looked up, counted from 0.
    """

    def __init__(
        self,
        *,
        dim: int,
        speaker_dim: int,
        n_mels: int,
        channels: int,
        hidden: int,
        n_blocks: int,
        rate: int = 4,
        kernel_size: int = 7,
        pitch_bins: int = 0,
        pitch_dim: int = 16,
        head_dim: int = 64,
        timbre_dim: int = 0,
        timbre_before: Sequence[int] = (2, 4),
    ) -> None:
        super().__init__()
        self.rate, self.pitch_bins, self.timbre_dim = rate, pitch_bins, timbre_dim
        harmonics = n_mels if pitch_bins else 0
        self.fold, self.unfold = StackFrames(rate), UnstackFrames(rate)
        self.enter_units = nn.Linear(dim + speaker_dim, channels)
        if pitch_bins:
            self.pitch_frames = nn.Linear(pitch_bins, pitch_dim)
            self.enter_pitch = nn.Linear(rate * pitch_dim, channels)
        norm = partial(AdaptiveInstanceNorm, channels, speaker_dim)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.lookups = nn.ModuleDict(
            {str(place): TimbreAttention(channels=channels, dim=timbre_dim) for place in timbre_before}
            if timbre_dim
            else {}
        )
        self.coarse = nn.Linear(channels, rate * n_mels)
        self.frames = nn.Linear(channels, rate * head_dim)
        self.head = nn.ModuleList(
            (MaskedConv(head_dim + harmonics, 2 * head_dim, 3), MaskedConv(2 * head_dim, n_mels, 3))
        )

    def forward(self, given: DecoderInput) -> Tensor:
        """Decode `given.frames` frames: -> (B, M, T)."""
        units, speaker, mask = given.units, given.speaker, given.mask
        # The speaker enters twice: beside the units, and by the norms of the blocks, which scale and shift by it.
        wide = speaker[:, None].expand(-1, units.shape[-1], -1)
        x = self.enter_units(torch.cat((units.transpose(1, 2), wide.to(units.dtype)), dim=-1))
        if self.pitch_bins:
            pitch = apply_mask(self.pitch_frames(given.pitch.transpose(1, 2)), mask)
            x = x + self.enter_pitch(self.fold(pitch))
        coarse_mask = downsample_mask(mask, self.rate)
        x = apply_mask(x, coarse_mask)
        for place, block in enumerate(self.blocks):
            if given.timbre is not None and str(place) in self.lookups:
                x = x + apply_mask(self.lookups[str(place)](x, given.timbre), coarse_mask)
            x = block(x, coarse_mask, speaker)
        # Most of the work is done at 1/rate of the frames; the head only adds what differs within a code frame.
        detail = self.unfold(self.frames(x), given.frames)
        detail = torch.cat((detail, given.harmonics.transpose(1, 2).to(detail.dtype)), dim=-1)
        detail = self.head[1](functional.gelu(self.head[0](detail, mask), approximate="tanh"), mask)
        return apply_mask(self.unfold(self.coarse(x), given.frames) + detail, mask).transpose(1, 2)


class StackedDecoder(DecoderPart):
    """Each level decodes to the input of its encoder: `DecoderInput` -> normalised mel (B, M, T).

    Args:
        levels: in the order of the encoders, so that the last one decodes first; only the first takes the pitch.
    """

    def __init__(self, *, levels: Sequence[Decoder]) -> None:
        super().__init__()
        if not levels:
            raise ValueError("levels: needs at least one")
        if any(level.pitch_bins for level in levels[1:]):
            raise ValueError("levels: only the first has a place for the pitch; give the others pitch_bins 0")
        self.levels = nn.ModuleList(levels)
        self.rates = [level.rate for level in levels]
        self.rate, self.pitch_bins = prod(self.rates), levels[0].pitch_bins

    def forward(self, given: DecoderInput) -> Tensor:
        """Decode `given.frames` frames: -> (B, M, T)."""
        frames, masks = [given.frames], [given.mask]
        for rate in self.rates[:-1]:
            frames.append(-(-frames[-1] // rate))
            masks.append(downsample_mask(masks[-1], rate))
        x = given.units
        for number in range(len(self.levels) - 1, 0, -1):
            x = self.decode_level(number, x, given.speaker, frames[number], masks[number])
        mel: Tensor = self.levels[0](replace(given, units=x))
        return mel

    def decode_level(
        self, number: int, units: Tensor, speaker: Tensor, frames: int, mask: Tensor | None
    ) -> Tensor:
        """Decode one inner level to the codes that its encoder took: (B, D, T_in), (B, S) -> (B, C, frames)."""
        no_pitch = units.new_zeros(len(units), 0, frames)
        codes: Tensor = self.levels[number](DecoderInput(units, speaker, no_pitch, no_pitch, mask))
        return codes
