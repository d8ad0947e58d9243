"""Units should foretell the units that follow, as phones do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED = -100
"""Where there is nothing to foretell."""


class Foretelling(nn.Module):
    """Contrastive predictive coding of units: (B, D, T') -> ().

    van den Oord et al. 2018 (arXiv 1807.03748), as in VQMIVC (arXiv 2106.10132). A recurrent summary of what came must
    pick each of the next units out of all units of the same utterance; since the wrong ones are in the same voice, the
    voice is of no help.

    Args:
        dim: D.
        hidden: width of the summary.
        ahead: how many of the next units are foretold.
    """

    def __init__(self, *, dim: int, hidden: int = 128, ahead: int = 6) -> None:
        super().__init__()
        if ahead < 1:
            raise ValueError(f"ahead {ahead}: must be at least 1")
        self.recurrent = nn.GRU(dim, hidden, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(hidden, dim) for _ in range(ahead))

    def forward(self, units: Tensor, mask: Tensor) -> Tensor:
        """Mean cross-entropy in nats: units (B, D, T'), mask (B, T')."""
        x = units.transpose(1, 2)
        summary = self.recurrent(x)[0]
        losses = [
            self._foretell(head(summary[:, :-distance]), x, mask, distance)
            for distance, head in enumerate(self.heads, start=1)
            if distance < x.shape[1]
        ]
        return torch.stack(losses).mean() if losses else units.new_zeros(())

    @staticmethod
    def _foretell(foretold: Tensor, x: Tensor, mask: Tensor, distance: int) -> Tensor:
        """Cross-entropy of what is foretold, (B, T' - distance, D), against all of x (B, T', D): -> ()."""
        with torch.autocast(x.device.type, enabled=False):
            logits = (foretold.float() @ x.float().transpose(1, 2)) / x.shape[-1] ** 0.5
        logits = logits.masked_fill(~mask[:, None].bool(), -1e4)
        counted = mask[:, distance:].bool()
        right = torch.arange(distance, x.shape[1], device=x.device).expand(len(x), -1)
        right = right.masked_fill(~counted, IGNORED)
        nats = functional.cross_entropy(logits.transpose(1, 2), right, ignore_index=IGNORED, reduction="sum")
        return nats / counted.sum().clamp_min(1)
