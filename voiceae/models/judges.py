"""What learns against a model that knows its speakers: who is told from a code, and who from patches of a mel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.models.adversary import Verdict
from voiceae.nn.blocks import MaskedConv
from voiceae.nn.masking import coarser_mask, masked_moments, pooled

SLOPE = 0.2
POOL_EPS = 1e-4


class CodeClassifier(nn.Module):
    """Who speaks, told from content codes: units (B, D, T'), mask (B, T') -> logits (B, n_speakers).

    The latent classifier of Chou et al. 2018 (arXiv 1804.02812): convolutions, then mean and deviation over time.

    Args:
        dim: D.
        n_speakers: to tell apart.
        channels: of each layer.
        n_layers: number of convolutions.
    """

    def __init__(self, *, dim: int, n_speakers: int, channels: int = 128, n_layers: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MaskedConv(dim if number == 0 else channels, channels, 5) for number in range(n_layers)
        )
        self.leave = nn.Linear(2 * channels, n_speakers)

    def forward(self, units: Tensor, mask: Tensor | None = None) -> Tensor:
        """Judge."""
        x = units.transpose(1, 2)
        for layer in self.layers:
            x = functional.leaky_relu(layer(x, mask), SLOPE)
        mean, deviation = masked_moments(x, mask, POOL_EPS)
        logits: Tensor = self.leave(torch.cat((mean, deviation), dim=-1)[:, 0])
        return logits.float()


class PatchCritic(nn.Module):
    """Patches of a mel scored for realness, and whose voice the whole is in: (B, M, T) -> `Verdict`, (B, n_speakers).

    The patch discriminator and auxiliary classifier of Chou et al. 2018 (arXiv 1804.02812): both share all layers but
    the last.

    Args:
        n_mels: M.
        n_speakers: to tell apart.
        channels: of each layer.
        n_strided: layers that halve the frame rate.
    """

    def __init__(self, *, n_mels: int, n_speakers: int, channels: int = 192, n_strided: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MaskedConv(n_mels if number == 0 else channels, channels, 5) for number in range(n_strided + 1)
        )
        self.score = nn.Linear(channels, 1)
        self.tell = nn.Linear(2 * channels, n_speakers)

    def forward(self, mel: Tensor, mask: Tensor) -> tuple[Verdict, Tensor]:
        """Judge normalised mels: (B, M, T), (B, T)."""
        x, features, masks = mel.transpose(1, 2), [], []
        for number, layer in enumerate(self.layers):
            if number:
                x = pooled(x, mask, 2)
                mask = coarser_mask(mask, 2)  # type: ignore[assignment]  # a mask in, a mask out
            x = functional.leaky_relu(layer(x, mask), SLOPE)
            features.append(x)
            masks.append(mask)
        logits: Tensor = self.tell(torch.cat(masked_moments(x, mask, POOL_EPS), dim=-1)[:, 0])
        return Verdict(self.score(x)[..., 0].float(), tuple(features), tuple(masks)), logits.float()
