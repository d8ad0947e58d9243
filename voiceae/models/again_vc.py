"""AGAIN-VC (Chen et al. 2020, arXiv 2011.00316): one encoder, whose instance norms separate content from the speaker.

The normalised activations are the content, the statistics that were removed are the speaker. The blocks are this
toolkit's own; the paper's decoder ends in recurrent layers, this one in another block.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.statistics import masked_moments
from voiceae.models.bottlenecks import BottleneckOutput, BottleneckPart, Noise
from voiceae.models.decoders import DecoderInput, DecoderPart
from voiceae.models.encoders import ContentPart, SpeakerPart
from voiceae.nn.layers import BlockStack, StackFrames, UnstackFrames, apply_mask, downsample_mask
from voiceae.nn.norm import EPS, FrameNorm, InstanceNorm, Moments, MomentsSource


class AgainVCEncoder(ContentPart):
    """Blocks with an instance norm after each, whose means and deviations are kept: (B, M, T) -> (B, C, T').

    Args:
        n_mels: M.
        channels: C.
        hidden: width inside each block.
        n_blocks: number of blocks.
        rate: mel frames per code frame.
        kernel_size: of the blocks, in code frames.
    """

    def __init__(
        self, *, n_mels: int, channels: int, hidden: int, n_blocks: int, rate: int = 1, kernel_size: int = 5
    ) -> None:
        super().__init__()
        self.rate, self.channels = rate, channels
        self.fold = StackFrames(rate)
        self.enter = nn.Linear(n_mels * rate, channels)
        norm = partial(FrameNorm, channels)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.norms = nn.ModuleList(InstanceNorm() for _ in range(n_blocks))

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode: mel (B, M, T), mask (B, T) -> (B, C, T')."""
        return self._normalised(mel, mask, [norm.moments for norm in self.norms])[0]  # type: ignore[misc]

    def encode_with_statistics(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, list[Moments]]:
        """Content (B, C, T') and the moments that each norm removed, from the first to the last.

        A speaker is described by its own recording, so the moments are those of `mel` even where the norms have been
        given statistics of something else.
        """
        return self._normalised(mel, mask, [masked_moments] * len(self.blocks))

    def _normalised(
        self, mel: Tensor, mask: Tensor | None, sources: Sequence[MomentsSource]
    ) -> tuple[Tensor, list[Moments]]:
        x = self.enter(self.fold(apply_mask(mel.transpose(1, 2), mask)))
        mask, taken = downsample_mask(mask, self.rate), []
        x = apply_mask(x, mask)
        for block, moments in zip(self.blocks, sources, strict=True):
            x = block(x, mask)
            mean, deviation = moments(
                x, mask, EPS
            )  # kept for the speaker vector, and removed from the content
            taken.append((mean, deviation))
            x = apply_mask((x - mean.to(x.dtype)) / deviation.to(x.dtype), mask)
        return x.transpose(1, 2), taken


class SigmoidBottleneck(BottleneckPart):
    """Activation guidance, a few channels through a flat sigmoid that leaves little room for a voice: -> (B, D, T').

    Args:
        channels: C.
        dim: D.
        alpha: slope before the sigmoid.
    """

    def __init__(self, *, channels: int, dim: int, alpha: float = 0.1) -> None:
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha {alpha}: must be above 0")
        self.dim, self.alpha = dim, alpha
        self.project = nn.Linear(channels, dim)

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """Project and squash: (B, C, T') -> units (B, D, T') in (0, 1)."""
        # In float32: the flat sigmoid stays near a half, where the 8 bits of a bfloat16 leave a dozen values.
        units = torch.sigmoid(self.alpha * self.project(x.transpose(1, 2)).float())
        return BottleneckOutput(apply_mask(units, mask).transpose(1, 2))


class InstanceStatisticsSpeaker(SpeakerPart):
    """Speaker vector of the moments that the norms of an `AgainVCEncoder` and of the units remove: (B, M, T) -> (B, S).

    It has no weights. Every speaker vector of this toolkit has unit length, which moments do not; so they are written
    in homogeneous coordinates: a one is appended, the whole is scaled, and the one tells how to scale it back.

    Args:
        channels: of the encoder.
        n_blocks: of the encoder.
        units: D of the bottleneck.
    """

    def __init__(self, *, channels: int, n_blocks: int, units: int) -> None:
        super().__init__()
        self.dim = statistics_size(channels, n_blocks, units)

    def join(self, content: nn.Module, bottleneck: nn.Module) -> None:
        """Use the model's encoder and bottleneck; in a tuple, so that they are not registered as submodules here."""
        if not isinstance(content, AgainVCEncoder):
            raise ValueError(
                f"InstanceStatisticsSpeaker needs an AgainVCEncoder for content, not a {type(content).__name__}"
            )
        size = statistics_size(content.channels, len(content.blocks), bottleneck.dim)  # type: ignore[arg-type]
        if size != self.dim:
            raise ValueError(
                f"InstanceStatisticsSpeaker of {self.dim} numbers, encoder and bottleneck give {size}: they must agree"
            )
        self._shared = (content, bottleneck)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed with the content encoder: mel (B, M, T), mask (B, T) -> (B, S) of unit length."""
        content, bottleneck = self._shared
        features, taken = content.encode_with_statistics(mel, mask)
        coarse = downsample_mask(mask, content.rate)
        units = bottleneck(features, coarse).units.transpose(1, 2)
        flat = [part for moments in (*taken, masked_moments(units, coarse, EPS)) for part in moments]
        return to_homogeneous(torch.cat(flat, dim=-1)[:, 0].float())


class AgainVCDecoder(DecoderPart):
    """Gives activations the moments that the encoder removed from a voice: `DecoderInput` -> normalised mel (B, M, T).

    The speaker is a vector of `InstanceStatisticsSpeaker`; the innermost moments come first.

    Args:
        dim: D.
        n_mels: M.
        channels: of the encoder.
        hidden: width inside each block.
        n_blocks: of the encoder.
        rate: of the encoder.
        kernel_size: of the blocks, in code frames.
    """

    def __init__(
        self,
        *,
        dim: int,
        n_mels: int,
        channels: int,
        hidden: int,
        n_blocks: int,
        rate: int = 1,
        kernel_size: int = 5,
    ) -> None:
        super().__init__()
        self.rate, self.pitch_bins = rate, 0
        self.widths = [channels] * n_blocks + [dim]
        self.unfold = UnstackFrames(rate)
        self.enter = nn.Linear(dim, channels)
        norm = partial(FrameNorm, channels)
        self.blocks = BlockStack(n_blocks + 1, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.norms = nn.ModuleList(InstanceNorm() for _ in self.widths)
        self.leave = nn.Linear(channels, rate * n_mels)

    def forward(self, given: DecoderInput) -> Tensor:
        """Decode `given.frames` frames: -> (B, M, T)."""
        *voice, innermost = self.moments(given.speaker)
        coarse = downsample_mask(given.mask, self.rate)
        x = given.units.transpose(1, 2)
        # In float32, for the units differ little from their mean; see `SigmoidBottleneck`.
        with torch.autocast(x.device.type, enabled=False):
            x = self.enter(_denormalise(self.norms[0](x.float(), coarse), innermost, coarse))
        *blocks, last = self.blocks
        for block, norm, moments in zip(blocks, self.norms[1:], reversed(voice), strict=True):
            x = _denormalise(norm(block(x, coarse), coarse), moments, coarse)
        frames = self.unfold(self.leave(last(x, coarse)), given.frames)
        return apply_mask(frames, given.mask).transpose(1, 2)

    def moments(self, speaker: Tensor) -> list[Moments]:
        """Means and deviations by layer: (B, S) -> from the encoder's first to the units' own."""
        parts = from_homogeneous(speaker)[:, None].split(
            [width for width in self.widths for _ in range(2)], dim=-1
        )
        return list(zip(parts[::2], parts[1::2], strict=True))


def statistics_size(channels: int, n_blocks: int, units: int) -> int:
    """S: two moments of every channel of every block and of every unit, and the appended one."""
    return 2 * (channels * n_blocks + units) + 1


def to_homogeneous(vector: Tensor) -> Tensor:
    """Any vector as one of unit length, in homogeneous coordinates: (B, X) -> (B, X + 1)."""
    # By the root of their number first, so that the appended one is about as large as all numbers together.
    scaled = vector / vector.shape[-1] ** 0.5
    return functional.normalize(torch.cat((scaled, torch.ones_like(scaled[:, :1])), dim=-1), dim=-1)


def from_homogeneous(vector: Tensor) -> Tensor:
    """Inverse of `to_homogeneous`: (B, X + 1) -> (B, X)."""
    # The bound keeps vectors that no encoder made (mixtures, moves along an attribute) finite.
    scaled = vector[:, :-1] / vector[:, -1:].clamp_min(1e-3)
    return scaled * scaled.shape[-1] ** 0.5


def _denormalise(x: Tensor, moments: Moments, mask: Tensor | None) -> Tensor:
    """Multiply by the deviation, add the mean: (B, T, C) -> (B, T, C)."""
    mean, deviation = moments
    return apply_mask(x * deviation.to(x.dtype) + mean.to(x.dtype), mask)
