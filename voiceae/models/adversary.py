"""What learns against the model: a critic that says which mels are recorded and whose voice they are in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.nn.blocks import MaskedConv
from voiceae.nn.masking import coarser_mask, pooled


@dataclass(frozen=True)
class Verdict:
    """What a critic says of a batch.

    Attributes:
        scores: (B, P) one per patch; high for recorded speech of the voice.
        features: (B, T_i, C_i) of each layer, for feature matching.
        masks: (B, T_i) frames of each layer that count.
    """

    scores: Tensor
    features: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    @property
    def mask(self) -> Tensor:
        """(B, P) patches that count."""
        return self.masks[-1]


class NoAdversary(nn.Module):
    """The same place without a critic: no weights, nothing asked."""

    active = False


class MelCritic(nn.Module):
    """Patches of a mel, scored for realness and for the voice: mel (B, M, T), speaker (B, S) -> `Verdict`.

    Strided convolutions over time with the mel bins as channels; the voice enters by projection (Miyato and Koyama
    2018, arXiv 1802.05637).

    Args:
        n_mels: M.
        speaker_dim: S.
        channels: of each layer.
        n_strided: layers that halve the frame rate.
    """

    active = True

    def __init__(self, *, n_mels: int, speaker_dim: int, channels: int = 192, n_strided: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MaskedConv(n_mels if i == 0 else channels, channels, 5) for i in range(n_strided + 1)
        )
        self.score = nn.Linear(channels, 1)
        self.project = nn.Linear(speaker_dim, channels, bias=False)

    def forward(self, mel: Tensor, speaker: Tensor, mask: Tensor) -> Verdict:
        """Judge normalised mels: (B, M, T), (B, S), (B, T)."""
        x, features, masks = mel.transpose(1, 2), [], []
        for number, layer in enumerate(self.layers):
            if number:
                x = pooled(x, mask, 2)
                mask = coarser_mask(mask, 2)  # type: ignore[assignment]  # a mask in, a mask out
            x = functional.leaky_relu(layer(x, mask), 0.2)
            features.append(x)
            masks.append(mask)
        voice = (x * self.project(speaker)[:, None].to(x.dtype)).sum(-1) / x.shape[-1] ** 0.5
        return Verdict(self.score(x)[..., 0].float() + voice.float(), tuple(features), tuple(masks))


def critic_loss(real: Verdict, fakes: list[Verdict]) -> Tensor:
    """Least-squares loss of the critic (Mao et al. 2017, arXiv 1611.04076): recorded to 1, made to 0."""
    made = torch.stack([_mean(fake.scores.square(), fake.mask) for fake in fakes]).mean()
    return _mean((real.scores - 1).square(), real.mask) + made


def adversarial_loss(fake: Verdict) -> Tensor:
    """What the model is asked for: that the critic scores its mels 1."""
    return _mean((fake.scores - 1).square(), fake.mask)


def feature_matching_loss(real: Verdict, fake: Verdict) -> Tensor:
    """Mean distance of the critic's features (Salimans et al. 2016, arXiv 1606.03498, per frame as in vocoders).

    Over the frames that count, and in float32: under autocast the features are not.
    """
    distances = [
        _mean((ours.float() - theirs.detach().float()).abs().mean(-1), mask)
        for ours, theirs, mask in zip(fake.features, real.features, real.masks, strict=True)
    ]
    return torch.stack(distances).mean()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1)
