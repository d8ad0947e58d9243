"""Vocal-tract length perturbation and random equaliser on mels; the random draw is apart from the function applied."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.spectrum import mel_corners
from voiceae.hardware import full_precision
from voiceae.specs import AudioSpec


@dataclass(frozen=True)
class VocalTractSettings:
    """Settings of one perturbation per item.

    Attributes:
        octaves: (B,) shift of all frequencies upwards: a shorter vocal tract and a higher pitch together.
        gain: (B, M) natural log, smooth along the mel axis.
    """

    octaves: Tensor
    gain: Tensor


class VocalTractPerturbation(nn.Module):
    """Warps the frequency axis of a mel and equalises it: mel (B, M, T), `VocalTractSettings` -> (B, M, T).

    Vocal-tract length perturbation (Jaitly and Hinton 2013) on the mel axis. The same settings for two clips of one
    speaker make another speaker of both; different settings for the input and for the target of a reconstruction train
    a model to convert.

    Args:
        spec: the mel contract.
        max_octaves: changes are uniform in [-max, max].
        max_gain_db: of the equaliser, at each of its control points.
        control_points: along the mel axis.
    """

    centres: Tensor

    def __init__(
        self, spec: AudioSpec, *, max_octaves: float = 0.3, max_gain_db: float = 4.0, control_points: int = 7
    ) -> None:
        super().__init__()
        self.max_octaves, self.max_gain_db, self.control_points = max_octaves, max_gain_db, control_points
        self.register_buffer("centres", torch.tensor(mel_corners(spec)[1:-1]).float(), persistent=False)

    def draw(self, items: int, generator: torch.Generator, share: float = 1.0) -> VocalTractSettings:
        """Random settings for `items`, on the generator's device; all but a `share` of them change nothing."""
        device = generator.device
        kept = torch.rand(items, generator=generator, device=device) < share
        octaves = (2 * torch.rand(items, generator=generator, device=device) - 1) * self.max_octaves
        points = 2 * torch.rand((items, 1, self.control_points), generator=generator, device=device) - 1
        points = points * (self.max_gain_db / 20 * math.log(10))
        gain = functional.interpolate(points, size=len(self.centres), mode="linear", align_corners=True)[:, 0]
        return VocalTractSettings(octaves * kept, (gain - gain.mean(-1, keepdim=True)) * kept[:, None])

    def forward(self, mel: Tensor, change: VocalTractSettings) -> Tensor:
        """Apply the settings, in float32 also under autocast, since the result can be a target: -> (B, M, T)."""
        with full_precision(mel.device.type):
            position = self._bin_of(self.centres / torch.exp2(change.octaves)[:, None])
            bins = torch.arange(len(self.centres), device=mel.device)
            weight = (1 - (position[..., None] - bins).abs()).clamp_min(0)
            return weight @ mel.float() + change.gain[..., None]

    def _bin_of(self, hertz: Tensor) -> Tensor:
        """Fractional bin of frequencies in Hz, clamped to the first and last: any shape -> the same."""
        below = (torch.searchsorted(self.centres, hertz) - 1).clamp(0, len(self.centres) - 2)
        part = (hertz - self.centres[below]) / (self.centres[below + 1] - self.centres[below])
        return below + part.clamp(0, 1)
