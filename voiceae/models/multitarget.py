"""Multi-target conversion (Chou et al. 2018, arXiv 1804.02812): its decoder, code classifier and discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.statistics import masked_moments
from voiceae.models.decoders import DecoderInput, DecoderPart
from voiceae.models.discriminators import SLOPE, DiscriminatorOutput, strided_features
from voiceae.nn.layers import MaskedConv


class ResidualDecoder(DecoderPart):
    """The sum of a decoder and a generator: `DecoderInput` -> normalised mel (B, M, T).

    The second stage of Chou et al. 2018 (arXiv 1804.02812). The generator's gain starts at zero for every bin, so that
    before training the sum is the decoder alone.

    Args:
        decoder: of the first stage.
        generator: of the second, for the same units and frames.
        n_mels: M.
    """

    def __init__(self, *, decoder: DecoderPart, generator: DecoderPart, n_mels: int) -> None:
        super().__init__()
        if (decoder.rate, decoder.pitch_bins) != (generator.rate, generator.pitch_bins):
            raise ValueError(
                f"decoder at 1/{decoder.rate} with {decoder.pitch_bins} pitch bins, generator at 1/{generator.rate} "
                f"with {generator.pitch_bins}: they must agree"
            )
        self.rate, self.pitch_bins = decoder.rate, decoder.pitch_bins
        self.decoder, self.generator = decoder, generator
        # Per bin, so that a bin that gains nothing stays as it is.
        self.gain = nn.Parameter(torch.zeros(n_mels, 1))

    def forward(self, given: DecoderInput) -> Tensor:
        """Decode `given.frames` frames: -> (B, M, T)."""
        mel: Tensor = self.decoder(given) + self.gain * self.generator(given)
        return mel


POOL_EPS = 1e-4  # added to variances, so that the gradient of a deviation near 0 stays finite


class CodeClassifier(nn.Module):
    """Speaker classifier on content codes: units (B, D, T'), mask (B, T') -> logits (B, n_speakers).

    The latent classifier of Chou et al. 2018 (arXiv 1804.02812): convolutions, then mean and deviation over time.

    Args:
        dim: D.
        n_speakers: classes.
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
        """Classify: units (B, D, T'), mask (B, T') -> logits (B, n_speakers), float32."""
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
        n_speakers: classes.
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
        """Score and classify normalised mels: (B, M, T), mask (B, T)."""
        features, masks = strided_features(self.layers, mel, mask)
        logits: Tensor = self.tell(torch.cat(masked_moments(features[-1], masks[-1], POOL_EPS), dim=-1)[:, 0])
        scores = self.score(features[-1])[..., 0].float()
        return DiscriminatorOutput(scores, features, masks), logits.float()
