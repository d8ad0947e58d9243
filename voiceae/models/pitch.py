"""Pitch stream: fundamental frequency estimated from the mel, shifted, and rendered as harmonics for the decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.activity import active_frames
from voiceae.dsp.spectrum import mel_filters
from voiceae.hardware import full_precision
from voiceae.nn.layers import apply_mask
from voiceae.specs import AudioSpec

# Mel magnitude added between the harmonics of an ideal comb, about what real voices have there
_COMB_FLOOR = 0.1


class NoPitch(nn.Module):
    """Stands in for `MelPitch` in a model without a pitch stream: (B, M, T) -> (B, 0, T)."""

    def __init__(self, *, n_bins: int = 0) -> None:
        super().__init__()
        if n_bins:
            raise ValueError(f"n_bins {n_bins}: without a pitch stream there are none")
        self.n_bins = 0

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """No pitch: (B, M, T) -> (B, 0, T)."""
        return mel[:, :0]

    def centre(self, pitch: Tensor, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """No centre: zeros, (B, 0, T) -> (B,)."""
        return mel.new_zeros(mel.shape[0])

    def confidence(self, pitch: Tensor, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Full confidence, so that nothing is held back for it: ones, (B, 0, T) -> (B,)."""
        return mel.new_ones(mel.shape[0])

    def shift(self, pitch: Tensor, octaves: Tensor) -> Tensor:
        """The input, unchanged: (B, 0, T) -> (B, 0, T)."""
        return pitch

    def render(self, pitch: Tensor) -> Tensor:
        """No harmonics: (B, 0, T) -> (B, 0, T)."""
        return pitch


class MelPitch(nn.Module):
    """Probability of each fundamental on a logarithmic grid, from the log-mel alone: (B, M, T) -> (B, K, T).

    Each grid point has a template, the log-mel of a flat harmonic comb through the same window and filters. Input and
    templates are whitened along the mel axis (a local mean is subtracted) and compared by normalised correlation, in
    the manner of SWIPE (Camacho and Harris 2008); a softmax turns that into a distribution. Nothing is trained, and an
    ambiguous frame gives a flat distribution instead of a wrong value.

    Args:
        audio: fields of the `AudioSpec`.
        f_low: lowest fundamental, Hz.
        n_bins: K, length of the grid.
        bins_per_octave: its density.
        compared_mels: how many of the lowest mel bins are compared (harmonics are not resolved above).
        width: mel bins of the whitening window.
        temperature: of the softmax over correlations.
        range_nats: log-mel is clamped this far below the frame's largest compared bin.
    """

    templates: Tensor
    combs: Tensor
    window: Tensor

    def __init__(
        self,
        *,
        audio: dict[str, Any],
        f_low: float = 65.0,
        n_bins: int = 104,
        bins_per_octave: int = 36,
        compared_mels: int = 32,
        width: int = 9,
        temperature: float = 0.05,
        range_nats: float = 5.0,
    ) -> None:
        super().__init__()
        spec = AudioSpec.from_dict(audio)
        if not 0 < compared_mels <= spec.n_mels or width % 2 == 0:
            raise ValueError(
                f"compared_mels {compared_mels}, width {width}: need 1 to {spec.n_mels}, and an odd width"
            )
        self.n_bins, self.bins_per_octave, self.compared_mels = n_bins, bins_per_octave, compared_mels
        self.temperature, self.range_nats = temperature, range_nats
        grid = f_low * 2 ** (np.arange(self.n_bins) / bins_per_octave)
        window = np.hanning(width + 2)[1:-1]  # without its two zeros
        self.register_buffer("window", torch.tensor(window / window.sum()).float(), persistent=False)
        combs = self._whiten(torch.tensor(_comb_mels(spec, grid)).float())
        templates = functional.normalize(self._whiten(combs[:, : self.compared_mels]), dim=-1)
        self.register_buffer("combs", combs, persistent=False)
        self.register_buffer("templates", templates, persistent=False)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Distribution over fundamentals, smoothed over three frames: (B, M, T), (B, T) -> (B, K, T).

        In float32 also under autocast: in bfloat16 one peak in thirty moves to another grid point.
        """
        low = mel[:, : self.compared_mels].transpose(1, 2).float()
        low = torch.maximum(low, low.amax(-1, keepdim=True) - self.range_nats)
        with full_precision(mel.device.type):
            white = self._whiten(low)
            # The one keeps frames without harmonics, whose norm is small, from being correlated at full scale.
            white = white / (white.norm(dim=-1, keepdim=True) + 1.0)
            salience = apply_mask(white @ self.templates.T, mask)
        # An average over three frames, 1-2-1, of those that are valid.
        weight = salience.new_ones(salience.shape[:2]) if mask is None else mask.to(salience.dtype)
        wide = [functional.pad(x, (0, 0, 1, 1)) for x in (salience, weight[..., None])]
        summed, total = (0.25 * x[:, :-2] + 0.5 * x[:, 1:-1] + 0.25 * x[:, 2:] for x in wide)
        return torch.softmax(summed / total.clamp_min(0.25) / self.temperature, dim=-1).transpose(1, 2)

    def centre(self, pitch: Tensor, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Median fundamental of the active frames: (B, K, T), (B, M, T), (B, T) -> (B,) octaves above `f_low`."""
        # Every frame counts by the square of its largest probability, so that flat distributions hardly do.
        weight = pitch.amax(1).square() * self._active(mel, mask)
        cumulative = (pitch * weight[:, None]).sum(-1).cumsum(-1)
        below = cumulative < 0.5 * cumulative[:, -1:]  # the median: up to where half of the weight lies
        return below.sum(-1).float() / self.bins_per_octave

    def confidence(self, pitch: Tensor, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean of the largest probability in each active frame: (B, K, T), (B, M, T) -> (B,), 0 to 1.

        Voiced frames have 0.3 to 0.9; whispered, creaking and noisy ones less, since their distribution is flat, and so
        have fundamentals outside the grid.
        """
        active = self._active(mel, mask).float()
        return (pitch.amax(1) * active).sum(-1) / active.sum(-1).clamp_min(1.0)

    def _active(self, mel: Tensor, mask: Tensor | None) -> Tensor:
        """Frames whose compared bins are within 22 dB of the loudest frame's: (B, M, T), (B, T) -> (B, T) bool."""
        # Twice the log-magnitude is log-power: the same range of 5 nats is then 22 dB instead of 43, since a vowel's
        # pitch can be read where its harmonics stand out, and quieter frames would only add noise to the median.
        return active_frames(2 * mel[:, : self.compared_mels].float(), mask)

    def shift(self, pitch: Tensor, octaves: Tensor) -> Tensor:
        """Shift each distribution: (B, K, T), (B,) -> (B, K, T); what would leave the grid gathers at its edge."""
        position = torch.arange(self.n_bins, device=pitch.device) - octaves[:, None] * self.bins_per_octave
        below = position.floor()
        part = (position - below)[..., None]
        padded = functional.pad(pitch, (0, 0, 1, 1))
        index = (torch.stack((below, below + 1)).long() + 1).clamp(0, self.n_bins + 1)
        first, second = (padded.gather(1, i[..., None].expand(-1, -1, pitch.shape[-1])) for i in index)
        moved = first * (1 - part) + second * part
        # Linear interpolation between grid points; what falls off the grid is put on its last point.
        lost = (1 - moved.sum(1)).clamp_min(0)
        edge = torch.where(octaves > 0, self.n_bins - 1, 0)[:, None, None]
        return moved.scatter_add(1, edge.expand(-1, 1, pitch.shape[-1]), lost[:, None])

    def render(self, pitch: Tensor) -> Tensor:
        """Expected whitened log-mel of the harmonics: (B, K, T) -> (B, M, T)."""
        return (pitch.transpose(1, 2) @ self.combs.to(pitch.dtype)).transpose(1, 2)

    def _whiten(self, x: Tensor) -> Tensor:
        """Subtract a local mean along the last axis: (..., M) -> (..., M)."""
        flat = x.reshape(-1, 1, x.shape[-1])
        half = self.window.numel() // 2
        local = functional.conv1d(
            functional.pad(flat, (half, half), mode="replicate"), self.window[None, None]
        )
        return (flat - local).reshape(x.shape)


def _comb_mels(spec: AudioSpec, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-mel expected of flat harmonic combs with random phases: (K,) Hz -> (K, M).

    With random phases powers add, and each harmonic contributes the Hann window's main lobe around it.
    """
    bins = np.arange(spec.n_bins)
    rows = []
    for fundamental in grid:
        harmonics = fundamental * np.arange(1, int(spec.f_max / fundamental) + 1)[:, None]
        offset = bins - harmonics * spec.n_fft / spec.sample_rate
        # Transform of a Hann window, in bins: its three cosine terms each give a sinc.
        lobe = 0.5 * np.sinc(offset) + 0.25 * (np.sinc(offset - 1) + np.sinc(offset + 1))
        power = (0.5 * spec.win_length * lobe) ** 2
        rows.append(np.log(mel_filters(spec) @ np.sqrt(power.sum(0)) + _COMB_FLOOR))
    return np.stack(rows)
