"""Instance normalisation over valid frames, plain and steered by a speaker vector."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.masking import apply_mask

EPS = 1e-5

Moments = tuple[Tensor, Tensor]
"""Mean and deviation over time, (B, 1, D) each."""


class InstanceNorm(nn.Module):
    """Zero mean, unit variance per utterance and channel: (B, T, D), (B, T) -> (B, T, D).

    Takes the speaker's long-term colour out of the features (Chou et al. 2019, arXiv 1904.05742).

    Attributes:
        moments: where mean and deviation come from: `(x, mask, eps) -> Moments`, by default from what is normalised;
            `voiceae.nn.norm_statistics` has others, for audio that is never there as a whole.
    """

    moments: Callable[[Tensor, Tensor | None, float], Moments] = staticmethod(masked_moments)

    def __init__(self, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Normalise; `speaker` is taken and ignored, so that all norms can stand in one block."""
        mean, deviation = self.moments(x, mask, self.eps)
        return apply_mask((x - mean.to(x.dtype)) / deviation.to(x.dtype), mask)


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm whose scale and shift come from a speaker vector: (B, T, D), (B, S) -> (B, T, D).

    Huang and Belongie 2017 (arXiv 1703.06868), as in AdaIN-VC (arXiv 1904.05742). Starts as a plain instance norm.
    """

    def __init__(self, channels: int, speaker_dim: int, eps: float = EPS) -> None:
        super().__init__()
        self.norm = InstanceNorm(eps)
        self.affine = nn.Linear(speaker_dim, 2 * channels)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Normalise, then scale and shift by the speaker."""
        assert speaker is not None, "adaptive instance norm needs a speaker vector"
        factor, shift = self.scale_and_shift(speaker)
        return apply_mask(self.norm(x, mask) * factor + shift, mask)

    def scale_and_shift(self, speaker: Tensor) -> Moments:
        """Deviation and mean that a speaker asks for: (B, S) -> (B, 1, D), (B, 1, D)."""
        scale, shift = self.affine(speaker)[:, None].chunk(2, dim=-1)
        return 1 + scale, shift


class FrameNorm(nn.Module):
    """Layer norm of each frame: (B, T, D) -> (B, T, D); keeps what differs between utterances."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Normalise; `speaker` is taken and ignored."""
        return apply_mask(self.norm(x), mask)
