"""Losses that make a speaker vector mean a voice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(
    first: Tensor, second: Tensor, scale: Tensor | float, same: Tensor | None = None
) -> Tensor:
    """Each vector must find its partner among the batch: (B, S), (B, S), same (B, B) -> ().

    Symmetric cross-entropy of scaled cosines (InfoNCE, arXiv 1807.03748; both directions as in arXiv 2103.00020).

    Args:
        first: unit vectors of one clip each.
        second: unit vectors of another clip of the same voice.
        scale: inverse temperature.
        same: True where row and column are the same voice though not partners; such pairs are left out.
    """
    logits = scale * first @ second.T
    if same is not None:
        others = same & ~torch.eye(len(first), dtype=torch.bool, device=first.device)
        logits = logits.masked_fill(others, float("-inf"))
    partner = torch.arange(len(first), device=first.device)
    return 0.5 * (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner))
