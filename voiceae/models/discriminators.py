"""Discriminators of mels for a model, of spectrograms and samples for a vocoder, and their adversarial losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.nn.layers import MaskedConv, downsample_mask, masked_average_pool

SLOPE = 0.2  # of the leaky ReLU over mels, as in DCGAN (Radford et al. 2016, arXiv 1511.06434)
_WAVE_SLOPE = 0.1  # over waves, as in HiFi-GAN's code
# Added before the logarithm of spectra, so that bins with nothing but noise differ little
_LEAST_MAGNITUDE = 1e-2


@dataclass(frozen=True)
class DiscriminatorOutput:
    """Scores and features that a mel discriminator gives a batch.

    Attributes:
        scores: (B, P) one per patch; high for recorded speech of the voice.
        features: (B, T_i, C_i) of each layer, for feature matching.
        masks: (B, T_i) valid frames of each layer.
    """

    scores: Tensor
    features: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    @property
    def mask(self) -> Tensor:
        """Valid patches: (B, P)."""
        return self.masks[-1]


class NoAdversary(nn.Module):
    """Stands in for a discriminator where there is none: no weights, no loss."""

    active = False


class MelDiscriminator(nn.Module):
    """Patches of a mel, scored for realness and for the voice: mel (B, M, T), speaker (B, S) -> `DiscriminatorOutput`.

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

    def forward(self, mel: Tensor, speaker: Tensor, mask: Tensor) -> DiscriminatorOutput:
        """Score normalised mels: (B, M, T), (B, S), mask (B, T)."""
        features, masks = strided_features(self.layers, mel, mask)
        x = features[-1]
        # By the root of the width, so that the inner product starts at the size of the other score.
        voice = (x * self.project(speaker)[:, None].to(x.dtype)).sum(-1) / x.shape[-1] ** 0.5
        return DiscriminatorOutput(self.score(x)[..., 0].float() + voice.float(), features, masks)


def strided_features(
    layers: nn.ModuleList, mel: Tensor, mask: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Features and masks of convolutions over a mel, each at half the rate of the one before: (B, M, T), (B, T) ->."""
    x, features, masks = mel.transpose(1, 2), [], []
    for number, layer in enumerate(layers):
        if number:
            x = masked_average_pool(x, mask, 2)
            mask = downsample_mask(mask, 2)  # type: ignore[assignment]  # a mask in, a mask out
        x = functional.leaky_relu(layer(x, mask), SLOPE)
        features.append(x)
        masks.append(mask)
    return tuple(features), tuple(masks)


def mel_discriminator_loss(real: DiscriminatorOutput, fakes: list[DiscriminatorOutput]) -> Tensor:
    """Least-squares loss of the discriminator (Mao et al. 2017, arXiv 1611.04076): recorded to 1, generated to 0."""
    generated = torch.stack([_masked_mean(fake.scores.square(), fake.mask) for fake in fakes]).mean()
    return _masked_mean((real.scores - 1).square(), real.mask) + generated


def mel_adversarial_loss(fake: DiscriminatorOutput) -> Tensor:
    """Least-squares loss of the model: the discriminator should score its mels 1."""
    return _masked_mean((fake.scores - 1).square(), fake.mask)


def feature_matching_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Mean L1 distance of features over valid frames (after Salimans et al. 2016, arXiv 1606.03498): -> ()."""
    # In float32, which under autocast the features are not.
    distances = [
        _masked_mean((ours.float() - theirs.detach().float()).abs().mean(-1), mask)
        for ours, theirs, mask in zip(fake.features, real.features, real.masks, strict=True)
    ]
    return torch.stack(distances).mean()


@dataclass(frozen=True)
class WaveDiscriminatorOutput:
    """Scores and features that one discriminator gives a batch of waves.

    Attributes:
        scores: (B, 1, ...) of the patches, high for recorded speech.
        features: (B, C, ...) of every layer.
        masks: (B, 1, ...) of the features, layer by layer; the last one is of the scores too.
    """

    scores: Tensor
    features: list[Tensor]
    masks: list[Tensor]


class SpectrogramDiscriminator(nn.Module):
    """Two-dimensional convolutions over log magnitudes, strided along frequency: (B, N) -> `WaveDiscriminatorOutput`.

    After the multi-resolution discriminator of UnivNet (Jang et al. 2021, arXiv 2106.07889).

    Args:
        size: of the transform, samples; a quarter of it between frames.
        channels: of each layer.
        share: of the bins that are used, from the lowest.
    """

    window: Tensor

    def __init__(self, *, size: int, channels: int, share: float = 1.0) -> None:
        super().__init__()
        # A mel up to 8 kHz says nothing of the bins above: there the discriminator would learn the vocoder's guesses.
        self.size, self.bins = size, int(share * (size // 2)) + 1
        self.register_buffer("window", torch.hann_window(size, periodic=True), persistent=False)
        self.layers = nn.ModuleList(
            nn.Conv2d(1 if i == 0 else channels, channels, (3, 5), stride=(1, 2), padding=(1, 2))
            for i in range(4)
        )
        self.score = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, wav: Tensor, mask: Tensor) -> WaveDiscriminatorOutput:
        """Score: wav (B, N), mask (B, N); a frame is valid if it begins with a valid sample."""
        with torch.autocast(wav.device.type, enabled=False):
            frames = wav.float().unfold(-1, self.size, self.size // 4) * self.window
            parts = torch.view_as_real(torch.fft.rfft(frames)[..., : self.bins]).square()
            x = ((parts[..., 0] + parts[..., 1] + 1e-9).sqrt() + _LEAST_MAGNITUDE).log()[:, None]
        counts = mask[:, None, : x.shape[2] * (self.size // 4) : self.size // 4, None]
        return _pass(x, self.layers, self.score, [counts] * len(self.layers))


class PeriodDiscriminator(nn.Module):
    """Strided convolutions over samples a period apart: wav (B, N) -> `WaveDiscriminatorOutput`.

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

    def forward(self, wav: Tensor, mask: Tensor) -> WaveDiscriminatorOutput:
        """Score: wav (B, N), mask (B, N); a patch is valid if the sample in its middle is."""
        # Reflected to whole periods, as in HiFi-GAN's code: zeros would be an edge that recordings do not have.
        missing = -wav.shape[-1] % self.period
        wav = functional.pad(wav[:, None], (0, missing), mode="reflect")
        counts = functional.pad(mask[:, None], (0, missing)).unflatten(-1, (-1, self.period))
        # Every layer has a stride of 3 along time.
        masks = [counts[:, :, :: 3**layer] for layer in range(1, len(self.layers) + 1)]
        return _pass(wav.unflatten(-1, (-1, self.period)), self.layers, self.score, masks)


class WaveDiscriminators(nn.Module):
    """All discriminators of one vocoder: wav (B, N), mask (B, N) -> a list of `WaveDiscriminatorOutput`.

    Args:
        sizes: of the spectrogram discriminators' transforms, samples; may be empty.
        periods: of the period discriminators, samples; may be empty.
        channels: of their first layers.
        share: of the bins that the spectrogram discriminators use.
    """

    active = True

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

    def forward(self, wav: Tensor, mask: Tensor | None = None) -> list[WaveDiscriminatorOutput]:
        """Score with each: wav (B, N), silent outside the mask (B, N), by default all valid."""
        mask = torch.ones_like(wav, dtype=torch.bool) if mask is None else mask
        return [judge(wav, mask) for judge in self.judges]


def wave_discriminator_loss(
    discriminators: WaveDiscriminators, generated: Tensor, recorded: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Hinge loss of the discriminators, mean over them and valid samples: (B, N), (B, N), mask (B, N) -> ()."""
    losses = [
        _masked_mean(functional.relu(1 - real.scores), real.masks[-1])
        + _masked_mean(functional.relu(1 + fake.scores), fake.masks[-1])
        for real, fake in zip(discriminators(recorded, mask), discriminators(generated, mask), strict=True)
    ]
    return torch.stack(losses).mean()


def wave_adversarial_losses(
    discriminators: WaveDiscriminators, generated: Tensor, recorded: Tensor, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """Losses of the vocoder: `adversarial` (hinge) and `feature_matching` (relative L1) of valid samples.

    Args:
        discriminators: not trained by these.
        generated: (B, N).
        recorded: (B, N).
        mask: (B, N) valid samples, all by default.
    """
    # The generated wave first: autocast keeps bfloat16 copies of the weights for the whole step, and before torch 2.11
    # a copy made without gradients would serve the discriminators' own loss as well.
    fake = discriminators(generated, mask)
    with torch.no_grad():
        real = discriminators(recorded, mask)
    matching = [
        _masked_mean((ours.float() - theirs.float()).abs(), counts)
        / _masked_mean(theirs.abs(), counts).clamp_min(1e-3)
        for mine, yours in zip(fake, real, strict=True)
        for ours, theirs, counts in zip(mine.features, yours.features, yours.masks, strict=True)
    ]
    adversarial = [_masked_mean(functional.relu(1 - each.scores), each.masks[-1]) for each in fake]
    return {"adversarial": torch.stack(adversarial).mean(), "feature_matching": torch.stack(matching).mean()}


def _pass(x: Tensor, layers: nn.ModuleList, score: nn.Module, masks: list[Tensor]) -> WaveDiscriminatorOutput:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), _WAVE_SLOPE)
        features.append(x)
    return WaveDiscriminatorOutput(score(x).float(), features, masks)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid values, in float32: (B, ...), mask of that shape or with a channel of 1 -> ()."""
    weight = mask.float()
    return (values.float() * weight).sum() / (weight.sum() * (values.numel() / weight.numel())).clamp_min(1)
