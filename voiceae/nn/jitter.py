"""Frames that are now and then heard as their neighbours, so that no single one can be relied upon."""

from __future__ import annotations

import torch
from torch import Tensor


def time_jitter(
    x: Tensor,
    probability: float,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    drawn: Tensor | None = None,
) -> Tensor:
    """Replace frames by the one before or the one after, either equally likely: (B, T, D), mask (B, T) -> (B, T, D).

    Chorowski et al. 2019 (arXiv 1901.08810), section III-C: dropout for sequences of codes.

    Args:
        x: frames.
        probability: of a frame to be replaced; a frame at an end, or beside padding, stays when its neighbour is not
            there.
        mask: frames that count.
        generator: of the draws.
        drawn: (B, T) uniform in [0, 1), where the draws were made before.
    """
    if drawn is None:
        drawn = torch.rand(x.shape[:2], generator=generator, device=x.device)
    move = (drawn > 1 - probability / 2).long() - (drawn < probability / 2).long()
    own = torch.arange(x.shape[1], device=x.device).expand_as(move)
    source = (own + move).clamp(0, x.shape[1] - 1)
    if mask is not None:
        source = torch.where(mask.bool().gather(1, source), source, own)
    return x.gather(1, source[..., None].expand_as(x))
