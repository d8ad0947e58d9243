"""Mel magnitudes back to linear ones: non-negative least squares by accelerated gradient steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voiceae.audio.filters import mel_filters
from voiceae.specs import AudioSpec


class MelInverse(nn.Module):
    """Non-negative magnitudes with the given mels: log-mel (B, T, M) -> (B, T, F).

    F is `bins`; the bins above are zero.

    With mel filters `A` and their pseudo-inverse `P`, FISTA (Beck and Teboulle, 2009) minimises the whitened
    residual `(A x - b)' (A A')^-1 (A x - b) / 2` over `x >= 0`, starting from `max(P b, 0)`. Its gradient is
    `P (A x - b)` and its Lipschitz constant is exactly 1, `P A` being a projection. On mels of real spectra
    both this and the plain residual have the minimum 0, and the whitened one gets there in fewer steps.

    Args:
        spec: the mel contract.
        n_steps: FISTA steps; 12 leave a relative residual of about 0.0016 on speech.
    """

    filters: Tensor
    inverse: Tensor

    def __init__(self, spec: AudioSpec, n_steps: int = 12) -> None:
        super().__init__()
        self.spec, self.n_steps = spec, n_steps
        filters = torch.tensor(mel_filters(spec))
        self.bins = int(filters.any(0).nonzero().max()) + 1  # nothing above the last filter can be known
        filters = filters[:, : self.bins]
        self.register_buffer("filters", filters.T.float().contiguous(), persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(filters).T.float().contiguous(), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Linear magnitudes: log-mel (B, T, M) -> (B, T, F)."""
        # In float32, for a step must lessen what rounding would put back.
        with torch.autocast(mel.device.type, enabled=False):
            target = mel.to(self.filters.dtype).exp().flatten(0, 1)
            now = (target @ self.inverse).clamp_min_(0.0)
            ahead, inertia = now, 1.0
            for _ in range(self.n_steps):
                missing = torch.addmm(target, ahead, self.filters, alpha=-1.0)
                before, now = now, torch.addmm(ahead, missing, self.inverse).clamp_min_(0.0)
                grown = (1.0 + (1.0 + 4.0 * inertia**2) ** 0.5) / 2.0
                ahead = torch.lerp(before, now, 1.0 + (inertia - 1.0) / grown)
                inertia = grown
        return now.unflatten(0, mel.shape[:2])
