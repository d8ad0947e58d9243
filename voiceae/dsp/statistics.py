"""Statistics of the loud frames of a mel, and giving one mel the statistics of another."""

from __future__ import annotations

import torch
from torch import Tensor

from voiceae.dsp.activity import active_frames

HALF_TRUST_FRAMES = 43
"""Half a second: with as many loud frames, statistics are trusted by half."""
MAX_DEVIATION_RATIO = 2.0
"""Of deviations: what is asked for beyond it is an accident of few frames."""
MAX_STRETCHED_DEVIATIONS = 3.0
"""How far above the mean a value is stretched with the rest; what rises further is a slip, and is not made a click."""


def masked_moments(x: Tensor, mask: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over valid frames, in float32: (B, T, D), (B, T) -> (B, 1, D), (B, 1, D).

    The deviation is `sqrt(variance + eps)` with the variance divided by the number of frames, so that one frame has
    mean itself and deviation `sqrt(eps)`.
    """
    x = x.float()
    if mask is None:
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        return mean, (variance + eps).sqrt()
    weight = mask[..., None].float()
    count = weight.sum(1, keepdim=True).clamp_min(1.0)
    mean = (x * weight).sum(1, keepdim=True) / count
    variance = ((x - mean).square() * weight).sum(1, keepdim=True) / count
    return mean, (variance + eps).sqrt()


def active_moments(mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and number of the loud frames: (B, M, T), (B, T) -> (B, M), (B, M), (B,)."""
    active = active_frames(mel.float(), mask)
    mean, deviation = masked_moments(mel.transpose(1, 2), active, eps=1e-4)
    return mean[:, 0], deviation[:, 0], active.sum(-1)


def match_moments(
    mel: Tensor,
    mean: Tensor,
    deviation: Tensor,
    frames: Tensor,
    *,
    strength: float = 1.0,
    own: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Give a mel the per-bin mean and deviation of a voice: (B, M, T), (B, M), (B, M), (B,) -> (B, M, T).

    A network trained on distances gives mels that vary too little; giving the variance back per bin is the global
    variance compensation of Toda and Tokuda 2007, here with the mean too. Few frames, of either side, are trusted
    little.

    Args:
        mel: natural log.
        mean: of the voice, per bin.
        deviation: of the voice, per bin.
        frames: how many loud frames those come from.
        strength: from 0, nothing, to 1, all of it.
        own: what `active_moments` says of the mel, where the mel is a piece of a longer one; by default it is asked.
    """
    own_mean, own_deviation, own_frames = active_moments(mel) if own is None else own
    fewest = torch.minimum(frames.to(own_frames), own_frames).float()
    trust = (strength * fewest / (fewest + HALF_TRUST_FRAMES))[:, None]
    ratio = (deviation / own_deviation).clamp(1 / MAX_DEVIATION_RATIO, MAX_DEVIATION_RATIO) ** trust
    risen = mel - own_mean[..., None]
    usual = torch.minimum(risen, MAX_STRETCHED_DEVIATIONS * own_deviation[..., None])
    matched = usual * ratio[..., None] + (risen - usual)
    return matched + torch.lerp(own_mean, mean, trust)[..., None]
