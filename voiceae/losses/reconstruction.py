"""How far a mel is from the one wanted."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda ours, theirs: (ours - theirs).abs(),
    "l2": lambda ours, theirs: (ours - theirs).square(),
    "huber": lambda ours, theirs: functional.huber_loss(ours, theirs, reduction="none"),
}


def reconstruction_loss(
    mel: Tensor, wanted: Tensor, mask: Tensor | None = None, distance: str = "l1"
) -> Tensor:
    """Mean distance per bin and valid frame: (B, M, T), (B, M, T), mask (B, T) -> ().

    In the terms of a likelihood, `l1` is a Laplace and `l2` a Gaussian density up to a constant; their scale is taken
    up by the weight of the KL term.

    Args:
        mel: natural-log mel.
        wanted: the same.
        mask: valid frames.
        distance: a key of `DISTANCES`.

    Raises:
        ValueError: for an unknown distance.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance {distance!r}: expected one of {', '.join(DISTANCES)}")
    error = DISTANCES[distance](mel.float(), wanted.float())  # under autocast features are bfloat16
    if mask is None:
        return error.mean()
    weight = mask[:, None].to(error.dtype)
    return (error * weight).sum() / (weight.sum() * mel.shape[1]).clamp_min(1)
