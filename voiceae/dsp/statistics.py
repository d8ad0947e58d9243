"""Mean and deviation of a mel's active frames, and matching one mel to those of another."""

from __future__ import annotations

import torch
from torch import Tensor

from voiceae.dsp.activity import active_frames

HALF_TRUST_FRAMES = 43
"""0.5 s: from as many active frames, statistics are applied with half the strength."""
MAX_DEVIATION_RATIO = 2.0
"""Largest ratio of deviations that is applied; larger ones come from too few frames."""
MAX_STRETCHED_DEVIATIONS = 3.0
"""Values further above the mean than this are moved but not stretched: errors of the network would become clicks."""


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
    """Mean, deviation and number of the active frames: (B, M, T), (B, T) -> (B, M), (B, M), (B,)."""
    active = active_frames(mel.float(), mask)
    # `eps` is a deviation of 0.01 nats, far below that of any bin of speech.
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

    Networks trained on distances give mels that vary too little; restoring the variance per bin is the global variance
    compensation of Toda and Tokuda 2007, here with the mean too. The strength falls with few frames on either side.

    Args:
        mel: natural log.
        mean: of the voice, per bin.
        deviation: of the voice, per bin.
        frames: number of active frames that those come from.
        strength: from 0, nothing, to 1, all of it.
        own: `active_moments` of the whole, where the mel is a piece of a longer one; by default those of the mel.
    """
    own_mean, own_deviation, own_frames = active_moments(mel) if own is None else own
    fewest = torch.minimum(frames.to(own_frames), own_frames).float()
    trust = (strength * fewest / (fewest + HALF_TRUST_FRAMES))[:, None]
    ratio = (deviation / own_deviation).clamp(1 / MAX_DEVIATION_RATIO, MAX_DEVIATION_RATIO) ** trust
    risen = mel - own_mean[..., None]
    usual = torch.minimum(risen, MAX_STRETCHED_DEVIATIONS * own_deviation[..., None])
    matched = usual * ratio[..., None] + (risen - usual)
    return matched + torch.lerp(own_mean, mean, trust)[..., None]
