"""Losses that make a speaker vector mean a voice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(
    first: Tensor, second: Tensor, scale: Tensor | float, voice: Tensor | None = None
) -> Tensor:
    """Each vector must find its partner among the batch: (B, S), (B, S) -> ().

    Symmetric cross-entropy of scaled cosines (InfoNCE, arXiv 1807.03748; both directions as in arXiv 2103.00020), in
    float32 also under autocast.

    Args:
        first: unit vectors of one clip each.
        second: unit vectors of another clip of the same voice.
        scale: inverse temperature.
        voice: (B,) whose voices they are; items of one voice are no negatives of each other. All differ by default.
    """
    with torch.autocast(first.device.type, enabled=False):
        logits = scale * first.float() @ second.float().T
    partner = torch.arange(len(first), device=first.device)
    if voice is not None:
        alike = (voice[:, None] == voice) & (partner[:, None] != partner)
        logits = logits.masked_fill(alike, float("-inf"))
    return 0.5 * (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner))
