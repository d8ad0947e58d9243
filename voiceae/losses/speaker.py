"""Losses that make a speaker vector mean a voice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(first: Tensor, second: Tensor, scale: Tensor | float) -> Tensor:
    """Each vector must find its partner among the batch: (B, S), (B, S) -> ().

    Symmetric cross-entropy of scaled cosines (InfoNCE, arXiv 1807.03748; both directions as in arXiv 2103.00020).

    Args:
        first: unit vectors of one clip each.
        second: unit vectors of another clip of the same voice.
        scale: inverse temperature.
    """
    logits = scale * first @ second.T
    partner = torch.arange(len(first), device=first.device)
    return 0.5 * (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner))
