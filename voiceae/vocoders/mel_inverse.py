"""Mel magnitudes back to linear ones, and the phase of lone clicks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.mel_filters import mel_filters
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


_LONELY = 0.01  # energy, relative to the loudest frame, that frames beyond the click's reach may have


def click_positions(energy: Tensor, spec: AudioSpec) -> Tensor:
    """Sample of each frame at which it hears a lone click: (B, T) -> (B, T), NaN for all other frames.

    Griffin-Lim from random phases smears a click over some 50 samples. Its place can be known, though: a
    click `u` samples after the centre of its loudest frame has amplitude `cos^2(pi (H -+ u) / W)` under the
    Hann windows (length `W`) of the frames a hop `H` later and earlier. With `q` the fourth root of their
    ratio of energies,

        tan(pi u / W) = (q - 1) / ((q + 1) tan(pi H / W)).

    A click is lone if the nearest frames that cannot hear it are 20 dB weaker than its loudest one; frames at
    the ends of the utterance, which have no such neighbours, hear none.

    Args:
        energy: summed squared magnitudes of each frame.
        spec: the mel contract; the windows of three frames must overlap.
    """
    width, hop = spec.win_length, spec.hop_length
    positions = torch.full_like(energy, math.nan)
    if width <= 3 * hop:
        return positions
    reach = math.ceil(width / (2 * hop) + 0.5)
    around = functional.pad(energy, (reach, reach), value=math.inf).unfold(-1, 2 * reach + 1, 1)
    before, after = around[..., reach - 1], around[..., reach + 1]
    lone = torch.maximum(around[..., 0], around[..., -1]) < _LONELY * energy
    lone &= (energy >= before) & (energy > after)
    ratio = (after / before).nan_to_num(1.0).pow(0.25)
    offset = width / math.pi * torch.atan((ratio - 1) / ((ratio + 1) * math.tan(math.pi * hop / width)))
    centre = torch.where(lone, spec.n_fft / 2 + offset, math.nan)
    for distance in sorted(range(1 - reach, reach), key=abs, reverse=True):
        shifted = functional.pad(centre, (reach + distance, reach - distance), value=math.nan)
        heard = shifted[..., reach : reach + energy.shape[-1]] - distance * hop
        inside = (heard >= 0) & (heard < spec.n_fft)
        positions = torch.where(inside, heard, positions)
    return positions
