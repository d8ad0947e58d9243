"""Every code frame is a few bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from voiceae.models.bottleneck import Bottlenecked, Discrete, Noise, mean_over_frames
from voiceae.nn.masking import apply_mask

MOST_BITS = 16
"""Of a code that is given as one number; larger alphabets are no use as units."""


class Binary(Discrete):
    """Bits drawn from Bernoulli probabilities in training, the likelier value at inference: (B, C, T') -> (B, D, T').

    Units are -1 or 1; the gradient goes straight through the draw to the probability (Bengio et al. 2013, arXiv
    1308.3432; as codes of speech: Liu et al. 2019, arXiv 1905.11563). Stats: `bits_per_frame` of the batch, and
    `bit_share` (D,), how often each bit is 1, from which an epoch's figure is made with `bit_figures`.

    Args:
        channels: C.
        dim: D, bits a code frame; codes are given as numbers up to `MOST_BITS` of them.
    """

    combines = True

    def __init__(self, *, channels: int, dim: int) -> None:
        super().__init__(dim=dim, size=2**dim)
        if dim < 1:
            raise ValueError(f"dim {dim}: a code needs at least one bit")
        self.project = nn.Linear(channels, dim)

    def draw_noise(
        self, items: int, frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Noise:
        """Uniform in [0, 1): (B, T', D)."""
        return (torch.rand((items, frames, self.dim), generator=generator, device=device),)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, noise: Noise | torch.Generator | None = None
    ) -> Bottlenecked:
        """Draw (training) or take the likelier value (evaluation); noise as of `Gaussian`."""
        share = torch.sigmoid(self.project(x.transpose(1, 2)).float())
        limit = self._drawn(x, noise)[0] if self.training else 0.5
        bits = (share.detach() > limit).to(share.dtype)
        units = 2 * (share + (bits - share).detach()) - 1
        used = mean_over_frames(bits, mask)
        return Bottlenecked(
            apply_mask(units, mask).transpose(1, 2),
            codes=self.number(bits) if self.dim <= MOST_BITS else None,
            stats={"bit_share": used, **bit_figures(used)},
        )

    def number(self, bits: Tensor) -> Tensor:
        """Bits as one number, the first bit the least: (B, T', D) of 0 and 1 -> (B, T')."""
        return (bits.long() << torch.arange(self.dim, device=bits.device)).sum(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Units of codes: (B, T') -> (B, D, T')."""
        bits = codes[:, None] >> torch.arange(self.dim, device=codes.device)[:, None] & 1
        return 2 * bits.to(self.project.weight.dtype) - 1


def bit_figures(share: Tensor) -> dict[str, Tensor]:
    """Bits of information, were the bits independent, from how often each is 1: (D,) -> scalars by name."""
    both = torch.stack((share, 1 - share)).clamp_min(0)
    return {"bits_per_frame": -torch.special.xlogy(both, both).sum() / math.log(2)}
