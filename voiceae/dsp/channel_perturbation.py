"""Random recording channels on log-mels: equaliser, room, noise, band limits, codec; drawn apart from being applied."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.spectrum import mel_corners
from voiceae.hardware import full_precision
from voiceae.specs import AudioSpec

NATS_PER_DB = math.log(10) / 20  # of amplitude
FLUCTUATION = 0.35  # nats: spread of a band of noise from frame to frame, measured on white noise at 80 bins
STOP_NATS = 60 * NATS_PER_DB  # how far a band limit takes down what lies beyond it


@dataclass(frozen=True)
class ChannelSettings:
    """One recording channel per item; what an item does not have is neutral in its row.

    Attributes:
        gain: (B, M) natural log, smooth along the mel axis, level included.
        decay: (B,) seconds in which the energy of a room falls to 1/e; 0 for none.
        wet: (B,) share of the energy that the room adds.
        band: (B, 2) lowest and highest bin that pass.
        codec_range: (B,) nats below the peak of a frame at which a codec drops what is softer; infinite for none.
        noise: (B, M, T) log amplitude of noise relative to the loudest bin of the mean spectrum; -inf for none.
    """

    gain: Tensor
    decay: Tensor
    wet: Tensor
    band: Tensor
    codec_range: Tensor
    noise: Tensor


class ChannelPerturbation(nn.Module):
    """Puts clips through recording channels of their own: log-mel (B, M, T), `ChannelSettings` -> (B, M, T).

    A speaker encoder that is given two clips of a voice through channels drawn independently learns the voice and not
    the microphone (x-vectors were the first to be trained so: Snyder et al. 2018, with rooms and noise on the wave). On
    mels it costs next to nothing; phase, and with it clipping and true reverberation, is beyond it.

    Args:
        spec: the mel contract.
        max_gain_db: of the equaliser, at each of its control points.
        max_level_db: of the level, either way.
        control_points: of the equaliser and of the spectrum of the noise, along the mel axis.
        share: of the items that each of room, band limit, codec and noise is drawn for.
    """

    centres: Tensor

    def __init__(
        self,
        spec: AudioSpec,
        *,
        max_gain_db: float = 12.0,
        max_level_db: float = 12.0,
        control_points: int = 6,
        share: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}: must lie between 0 and 1")
        self.max_gain_db, self.max_level_db = max_gain_db, max_level_db
        self.control_points, self.share = control_points, share
        self.frame_seconds, self.floor = spec.hop_length / spec.sample_rate, math.log(spec.log_floor)
        self.register_buffer("centres", torch.tensor(mel_corners(spec)[1:-1]).float(), persistent=False)

    def draw(self, items: int, frames: int, generator: torch.Generator) -> ChannelSettings:
        """Random channels for `items` of `frames` frames, on the generator's device."""
        device = generator.device

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand((items, *shape), generator=generator, device=device)

        def has() -> Tensor:
            return uniform(0, 1) < self.share

        gain = self._smooth(uniform(-self.max_gain_db, self.max_gain_db, self.control_points))
        level = uniform(-self.max_level_db, self.max_level_db)[:, None]
        # From a telephone's 300 to 3,400 Hz to everything; a high end is commoner than a low one.
        low = torch.where(has(), uniform(50, 350), 0.0)
        high = torch.where(has(), torch.exp2(uniform(math.log2(3000), math.log2(8000))), math.inf)
        codec = torch.where(has(), uniform(25, 60), math.inf)
        noise = self._smooth(uniform(-12, 12, self.control_points)) - uniform(10, 45)[:, None]
        noise = torch.where(has()[:, None], noise * NATS_PER_DB, -math.inf)[..., None]
        fluctuation = torch.randn((*noise.shape[:2], frames), generator=generator, device=device)
        return ChannelSettings(
            gain=(gain + level) * NATS_PER_DB,
            decay=torch.where(has(), uniform(0.03, 0.2), 0.0),
            wet=uniform(0.1, 0.7),
            band=torch.stack((self._bin_of(low), self._bin_of(high)), dim=-1),
            codec_range=codec * NATS_PER_DB,
            noise=noise + FLUCTUATION * fluctuation,
        )

    def forward(self, mel: Tensor, channel: ChannelSettings) -> Tensor:
        """Apply the settings, in float32 also under autocast: -> (B, M, T)."""
        with full_precision(mel.device.type):
            mel = mel.float()
            loudest = mel.mean(-1).amax(-1)[:, None, None]
            power = self._reverberated((2 * mel).exp(), channel) + (2 * (channel.noise + loudest)).exp()
            mel = 0.5 * power.log() + channel.gain[..., None] - self._stopped(channel)[..., None]
            # A codec spends no bits on what the ear does not hear beside the peak of the frame.
            audible = mel >= mel.amax(1, keepdim=True) - channel.codec_range[:, None, None]
            return torch.where(audible, mel, self.floor).clamp_min(self.floor)

    def _reverberated(self, power: Tensor, channel: ChannelSettings) -> Tensor:
        """Add the exponentially decaying energy of the frames before: (B, M, T) -> (B, M, T)."""
        frames = torch.arange(power.shape[-1], device=power.device)
        age = (frames[:, None] - frames) * self.frame_seconds  # of frame s, heard in frame t
        before = (age > 0) & (channel.decay > 0)[:, None, None]
        tail = torch.where(before, (-age / channel.decay.clamp_min(1e-3)[:, None, None]).exp(), 0.0)
        tail = tail / tail[:, -1:].sum(-1, keepdim=True).clamp_min(1e-6)
        return power + power @ (channel.wet[:, None, None] * tail).transpose(1, 2)

    def _stopped(self, channel: ChannelSettings) -> Tensor:
        """How far the band limit takes down each bin, nats: (B, M); a slope of three bins."""
        bins = torch.arange(len(self.centres), device=channel.band.device)
        beyond = torch.maximum(channel.band[:, :1] - bins, bins - channel.band[:, 1:])
        return (beyond / 3).clamp(0, 1) * STOP_NATS

    def _smooth(self, points: Tensor) -> Tensor:
        """Straight lines through control points along the mel axis: (B, P) -> (B, M)."""
        size = len(self.centres)
        return functional.interpolate(points[:, None], size=size, mode="linear", align_corners=True)[:, 0]

    def _bin_of(self, hertz: Tensor) -> Tensor:
        """First bin at or above frequencies in Hz: (B,) -> (B,)."""
        return torch.searchsorted(self.centres, hertz)
