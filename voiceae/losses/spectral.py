"""How far a wave is from the one wanted, to the eye of several spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_FLOOR = 1e-4  # of magnitudes under a window of unit sum: -80 dB of full scale


class SpectralLoss(nn.Module):
    """Distance of magnitude spectra at several resolutions: wav (B, N), wav (B, N), mask (B, N) -> ().

    Mean absolute difference of log magnitudes plus spectral convergence, the relative Frobenius norm of the
    difference (Yamamoto, Song and Kim 2020, arXiv 1910.11480).

    Args:
        sizes: of the transforms, samples; a Hann window as long, a quarter of it between frames.
        sample_rate: Hz.
        f_max: bins above this are not compared, Hz.
    """

    def __init__(self, *, sizes: Sequence[int], sample_rate: int, f_max: float) -> None:
        super().__init__()
        self.bins = {size: int(f_max / sample_rate * size) + 1 for size in sizes}
        for size in sizes:
            window = torch.hann_window(size, periodic=True)
            self.register_buffer(f"window_{size}", window / window.sum(), persistent=False)

    def forward(self, wav: Tensor, wanted: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean over the resolutions.

        Args:
            wav: samples.
            wanted: the same.
            mask: samples that count, all by default; frames that begin past them are left out, and nothing past them
                is heard in the others.
        """
        if mask is None:
            mask = torch.ones_like(wanted, dtype=torch.bool)
        wav, wanted = wav * mask, wanted * mask
        return torch.stack([self._distance(wav, wanted, mask, size) for size in self.bins]).mean()

    def _distance(self, wav: Tensor, wanted: Tensor, mask: Tensor, size: int) -> Tensor:
        given, right = self.magnitude(wav, size), self.magnitude(wanted, size)
        counts = mask[:, : mask.shape[-1] - size + 1 : size // 4, None].float()
        difference = ((given + _FLOOR).log() - (right + _FLOOR).log()).abs() * counts
        log_distance = difference.sum() / (counts.sum() * given.shape[-1]).clamp_min(1)
        norms = [(x.square().sum((1, 2)) + _FLOOR**2).sqrt() for x in (right - given, right)]
        return log_distance + (norms[0] / norms[1]).mean()

    def magnitude(self, wav: Tensor, size: int) -> Tensor:
        """Magnitude spectra of un-padded frames: (B, N) -> (B, T, F)."""
        with torch.autocast(wav.device.type, enabled=False):
            frames = wav.float().unfold(-1, size, size // 4) * getattr(self, f"window_{size}")
            parts = torch.view_as_real(torch.fft.rfft(frames)[..., : self.bins[size]]).square()
            return (parts[..., 0] + parts[..., 1] + 1e-14).sqrt()
