"""What learns against a model or a vocoder: classifiers of codes, discriminators of mels, spectrograms and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.layers import MaskedConv
from voiceae.nn.masking import downsample_mask, masked_average_pool


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What a discriminator says of a batch.

    Attributes:
        scores: (B, P) one per patch; high for recorded speech of the voice.
        features: (B, T_i, C_i) of each layer, for feature matching.
        masks: (B, T_i) frames of each layer that count.
    """

    scores: Tensor
    features: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    @property
    def mask(self) -> Tensor:
        """(B, P) patches that count."""
        return self.masks[-1]


class NoAdversary(nn.Module):
    """The same place without a discriminator: no weights, nothing asked."""

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
        """Judge normalised mels: (B, M, T), (B, S), (B, T)."""
        x, features, masks = mel.transpose(1, 2), [], []
        for number, layer in enumerate(self.layers):
            if number:
                x = masked_average_pool(x, mask, 2)
                mask = downsample_mask(mask, 2)  # type: ignore[assignment]  # a mask in, a mask out
            x = functional.leaky_relu(layer(x, mask), 0.2)
            features.append(x)
            masks.append(mask)
        voice = (x * self.project(speaker)[:, None].to(x.dtype)).sum(-1) / x.shape[-1] ** 0.5
        return DiscriminatorOutput(
            self.score(x)[..., 0].float() + voice.float(), tuple(features), tuple(masks)
        )


def mel_discriminator_loss(real: DiscriminatorOutput, fakes: list[DiscriminatorOutput]) -> Tensor:
    """Least-squares loss of the discriminator (Mao et al. 2017, arXiv 1611.04076): recorded to 1, made to 0."""
    made = torch.stack([_masked_mean(fake.scores.square(), fake.mask) for fake in fakes]).mean()
    return _masked_mean((real.scores - 1).square(), real.mask) + made


def mel_adversarial_loss(fake: DiscriminatorOutput) -> Tensor:
    """What the model is asked for: that the discriminator scores its mels 1."""
    return _masked_mean((fake.scores - 1).square(), fake.mask)


def feature_matching_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Mean distance of the discriminator's features (Salimans et al. 2016, arXiv 1606.03498, per frame as in vocoders).

    Over the frames that count, and in float32: under autocast the features are not.
    """
    distances = [
        _masked_mean((ours.float() - theirs.detach().float()).abs().mean(-1), mask)
        for ours, theirs, mask in zip(fake.features, real.features, real.masks, strict=True)
    ]
    return torch.stack(distances).mean()


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1)


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


class PatchDiscriminator(nn.Module):
    """Patches of a mel scored for realness, and a speaker classifier: (B, M, T) -> output, (B, n_speakers).

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

    def forward(self, mel: Tensor, mask: Tensor) -> tuple[DiscriminatorOutput, Tensor]:
        """Judge normalised mels: (B, M, T), (B, T)."""
        x, features, masks = mel.transpose(1, 2), [], []
        for number, layer in enumerate(self.layers):
            if number:
                x = masked_average_pool(x, mask, 2)
                mask = downsample_mask(mask, 2)  # type: ignore[assignment]  # a mask in, a mask out
            x = functional.leaky_relu(layer(x, mask), SLOPE)
            features.append(x)
            masks.append(mask)
        logits: Tensor = self.tell(torch.cat(masked_moments(x, mask, POOL_EPS), dim=-1)[:, 0])
        return DiscriminatorOutput(
            self.score(x)[..., 0].float(), tuple(features), tuple(masks)
        ), logits.float()


_SLOPE = 0.1


@dataclass(frozen=True)
class WaveDiscriminatorOutput:
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
    """Two-dimensional convolutions over log magnitudes, strided along frequency: (B, N) -> `WaveDiscriminatorOutput`.

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

    def forward(self, wav: Tensor, mask: Tensor) -> WaveDiscriminatorOutput:
        """Judge: (B, N), mask (B, N) of the samples that count; a frame does if it begins with one."""
        with torch.autocast(wav.device.type, enabled=False):
            frames = wav.float().unfold(-1, self.size, self.size // 4) * self.window
            parts = torch.view_as_real(torch.fft.rfft(frames)[..., : self.bins]).square()
            x = ((parts[..., 0] + parts[..., 1] + 1e-9).sqrt() + 1e-2).log()[:, None]
        counts = mask[:, None, : x.shape[2] * (self.size // 4) : self.size // 4, None]
        return _pass(x, self.layers, self.score, [counts] * len(self.layers))


class PeriodDiscriminator(nn.Module):
    """Samples a period apart in one column, strided convolutions along time: wav (B, N) -> `WaveDiscriminatorOutput`.

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
        """Judge: (B, N), mask (B, N) of the samples that count; a patch does if the sample in its middle does."""
        missing = -wav.shape[-1] % self.period
        wav = functional.pad(wav[:, None], (0, missing), mode="reflect")
        counts = functional.pad(mask[:, None], (0, missing)).unflatten(-1, (-1, self.period))
        masks = [counts[:, :, :: 3**layer] for layer in range(1, len(self.layers) + 1)]
        return _pass(wav.unflatten(-1, (-1, self.period)), self.layers, self.score, masks)


class WaveDiscriminators(nn.Module):
    """All that judge one wave: wav (B, N), mask (B, N) -> a list of `WaveDiscriminatorOutput`.

    Args:
        sizes: of the spectrogram discriminators' transforms, samples; may be empty.
        periods: of the period discriminators, samples; may be empty.
        channels: of their first layers.
        share: of the bins that the spectrogram discriminators look at.
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
        """Judge: (B, N), of which all samples count, or those in the mask; what is past them should be silent."""
        mask = torch.ones_like(wav, dtype=torch.bool) if mask is None else mask
        return [judge(wav, mask) for judge in self.judges]


def wave_discriminator_loss(
    judges: WaveDiscriminators, made: Tensor, recorded: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Hinge loss of the discriminators, mean over them and over what counts: (B, N), (B, N), mask (B, N) -> ()."""
    losses = [
        _mean(functional.relu(1 - real.scores), real.masks[-1])
        + _mean(functional.relu(1 + fake.scores), fake.masks[-1])
        for real, fake in zip(judges(recorded, mask), judges(made, mask), strict=True)
    ]
    return torch.stack(losses).mean()


def wave_adversarial_losses(
    judges: WaveDiscriminators, made: Tensor, recorded: Tensor, mask: Tensor | None = None
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


def _pass(x: Tensor, layers: nn.ModuleList, score: nn.Module, masks: list[Tensor]) -> WaveDiscriminatorOutput:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), _SLOPE)
        features.append(x)
    return WaveDiscriminatorOutput(score(x).float(), features, masks)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over what counts, in float32: (B, C, ...), mask (B, 1, ...) -> ()."""
    weight = mask.float()
    return (values.float() * weight).sum() / (weight.sum() * (values.numel() / weight.numel())).clamp_min(1)
