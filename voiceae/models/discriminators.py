"""What learns against a vocoder: several spectrograms, and samples at several periods, scored by patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.1


@dataclass(frozen=True)
class Judged:
    """What a discriminator says of a batch of waves.

    Attributes:
        scores: (B, 1, ...) of the patches, high for recorded speech.
        features: (B, C, ...) of every layer.
        masks: (B, 1, ...) what of the features counts, layer by layer; of the scores what counts of the last layer.
    """

    scores: Tensor
    features: list[Tensor]
    masks: list[Tensor]


class SpectrogramDiscriminator(nn.Module):
    """Two-dimensional convolutions over log magnitudes, strided along frequency: wav (B, N) -> `Judged`.

    After the multi-resolution discriminator of UnivNet (Jang et al. 2021, arXiv 2106.07889).

    Args:
        size: of the transform, samples; a quarter of it between frames.
        channels: of each layer.
        share: of the bins that are looked at, from the lowest.
    """

    window: Tensor

    def __init__(self, *, size: int, channels: int, share: float = 1.0) -> None:
        super().__init__()
        self.size, self.bins = size, int(share * (size // 2)) + 1
        self.register_buffer("window", torch.hann_window(size, periodic=True), persistent=False)
        self.layers = nn.ModuleList(
            nn.Conv2d(1 if i == 0 else channels, channels, (3, 5), stride=(1, 2), padding=(1, 2))
            for i in range(4)
        )
        self.score = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, wav: Tensor, mask: Tensor) -> Judged:
        """Judge: (B, N), mask (B, N) of the samples that count; a frame does if it begins with one."""
        with torch.autocast(wav.device.type, enabled=False):
            frames = wav.float().unfold(-1, self.size, self.size // 4) * self.window
            parts = torch.view_as_real(torch.fft.rfft(frames)[..., : self.bins]).square()
            x = ((parts[..., 0] + parts[..., 1] + 1e-9).sqrt() + 1e-2).log()[:, None]
        counts = mask[:, None, : x.shape[2] * (self.size // 4) : self.size // 4, None]
        return _pass(x, self.layers, self.score, [counts] * len(self.layers))


class PeriodDiscriminator(nn.Module):
    """Samples a period apart in one column, strided convolutions along time: wav (B, N) -> `Judged`.

    The multi-period discriminator of HiFi-GAN (Kong, Kim and Bae 2020, arXiv 2010.05646), narrower.

    Args:
        period: samples.
        channels: of the first layer; doubled with each up to eight times.
    """

    def __init__(self, *, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(channels * min(8, 2**i) for i in range(4))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 1), stride=(3, 1), padding=(2, 0))
            for before, after in pairwise(widths)
        )
        self.score = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wav: Tensor, mask: Tensor) -> Judged:
        """Judge: (B, N), mask (B, N) of the samples that count; a patch does if the sample in its middle does."""
        missing = -wav.shape[-1] % self.period
        wav = functional.pad(wav[:, None], (0, missing), mode="reflect")
        counts = functional.pad(mask[:, None], (0, missing)).unflatten(-1, (-1, self.period))
        masks = [counts[:, :, :: 3**layer] for layer in range(1, len(self.layers) + 1)]
        return _pass(wav.unflatten(-1, (-1, self.period)), self.layers, self.score, masks)


class Discriminators(nn.Module):
    """All that judge one wave: wav (B, N), mask (B, N) -> a list of `Judged`.

    Args:
        sizes: of the spectrogram discriminators' transforms, samples; may be empty.
        periods: of the period discriminators, samples; may be empty.
        channels: of their first layers.
        share: of the bins that the spectrogram discriminators look at.
    """

    def __init__(
        self, *, sizes: Sequence[int], periods: Sequence[int], channels: int, share: float = 1.0
    ) -> None:
        super().__init__()
        if not (sizes or periods):
            raise ValueError("discriminators: give sizes or periods, or both")
        spectrograms = [SpectrogramDiscriminator(size=n, channels=channels, share=share) for n in sizes]
        self.judges = nn.ModuleList(
            [*spectrograms, *(PeriodDiscriminator(period=n, channels=channels) for n in periods)]
        )

    def forward(self, wav: Tensor, mask: Tensor | None = None) -> list[Judged]:
        """Judge: (B, N), of which all samples count, or those in the mask; what is past them should be silent."""
        mask = torch.ones_like(wav, dtype=torch.bool) if mask is None else mask
        return [judge(wav, mask) for judge in self.judges]


def discriminator_loss(
    judges: Discriminators, made: Tensor, recorded: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Hinge loss of the discriminators, mean over them and over what counts: (B, N), (B, N), mask (B, N) -> ()."""
    losses = [
        _mean(functional.relu(1 - real.scores), real.masks[-1])
        + _mean(functional.relu(1 + fake.scores), fake.masks[-1])
        for real, fake in zip(judges(recorded, mask), judges(made, mask), strict=True)
    ]
    return torch.stack(losses).mean()


def fooling_losses(
    judges: Discriminators, made: Tensor, recorded: Tensor, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """What the vocoder is asked for: `adversarial` (hinge) and `feature_matching` (relative L1) of what counts.

    Args:
        judges: that are to be fooled.
        made: (B, N).
        recorded: (B, N).
        mask: (B, N) samples that count, all by default.
    """
    with torch.no_grad():
        real = judges(recorded, mask)
    fake = judges(made, mask)
    matching = [
        _mean((ours.float() - theirs.float()).abs(), counts) / _mean(theirs.abs(), counts).clamp_min(1e-3)
        for mine, yours in zip(fake, real, strict=True)
        for ours, theirs, counts in zip(mine.features, yours.features, yours.masks, strict=True)
    ]
    fooling = [_mean(functional.relu(1 - each.scores), each.masks[-1]) for each in fake]
    return {"adversarial": torch.stack(fooling).mean(), "feature_matching": torch.stack(matching).mean()}


def _pass(x: Tensor, layers: nn.ModuleList, score: nn.Module, masks: list[Tensor]) -> Judged:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), _SLOPE)
        features.append(x)
    return Judged(score(x).float(), features, masks)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over what counts, in float32: (B, C, ...), mask (B, 1, ...) -> ()."""
    weight = mask.float()
    return (values.float() * weight).sum() / (weight.sum() * (values.numel() / weight.numel())).clamp_min(1)
