"""Masks (B, T) of valid frames beside padding, for time-major features (B, T, D)."""

from __future__ import annotations

import torch
from torch import Tensor


def lengths_to_mask(lengths: Tensor, frames: int) -> Tensor:
    """True for the first `lengths[b]` of `frames` frames: (B,) -> (B, T) bool."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def apply_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padding: (B, T, D), (B, T) -> (B, T, D); without a mask all frames are valid."""
    # On a GPU a choice by the mask as it is saves a cast to x's type each time; on a CPU the product is the faster.
    if mask is None:
        return x
    return torch.where(mask[..., None].bool(), x, 0.0) if x.is_cuda else x * mask[..., None].to(x.dtype)


def downsample_mask(mask: Tensor | None, rate: int) -> Tensor | None:
    """Mask at 1/rate of the frame rate, valid where any of `rate` frames is: (B, T) -> (B, ceil(T / rate))."""
    if mask is None or rate == 1:
        return mask
    padded = torch.nn.functional.pad(mask.to(torch.uint8), (0, -mask.shape[1] % rate))
    return padded.unflatten(1, (-1, rate)).amax(-1).bool()


def masked_average_pool(x: Tensor, mask: Tensor, rate: int) -> Tensor:
    """Mean over the valid ones of every `rate` frames, 0 if none is: (B, T, D), (B, T) -> (B, ceil(T / rate), D)."""
    padding = (0, 0, 0, -x.shape[1] % rate)
    weight = mask[..., None].to(x.dtype)
    total, count = (
        torch.nn.functional.pad(each, padding).unflatten(1, (-1, rate)).sum(2)
        for each in (x * weight, weight)
    )
    return total / count.clamp_min(1)
