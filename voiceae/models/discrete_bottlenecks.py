"""Discrete bottlenecks without a codebook: one class (Gumbel-softmax) or a few bits (Bernoulli) a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.models.bottlenecks import (
    BottleneckOutput,
    DiscreteBottleneck,
    Noise,
    codebook_figures,
    mean_over_frames,
)
from voiceae.nn.layers import Scheduled, apply_mask


class OneHotBottleneck(DiscreteBottleneck, Scheduled):
    """A class drawn in training, the likeliest at inference, as a learned vector: (B, C, T') -> (B, D, T').

    Straight-through Gumbel-softmax (Jang et al. 2017, arXiv 1611.01144): a class is drawn by adding noise, and the
    gradient is that of a softmax whose temperature decays over training. Losses: `diversity`, the share of the
    classes that the mean distribution over a batch leaves unused, as in wav2vec 2.0 (arXiv 2006.11477); stats:
    `perplexity`, `bits_per_frame` and `usage` (K,) of the batch as of `VQ`, and the `temperature`.

    Args:
        channels: C.
        dim: D.
        size: K.
        temperature: from `start` to `end` by a constant factor a step, over so many `steps`.

    Raises:
        ValueError: for fewer than two classes, or a temperature that is not above 0 or does not fall.
    """

    def __init__(self, *, channels: int, dim: int, size: int, temperature: Mapping[str, float]) -> None:
        super().__init__(dim=dim, size=size)
        if size < 2:
            raise ValueError(f"size {size}: needs at least two classes")
        self.start, self.end, self.steps = (temperature[name] for name in ("start", "end", "steps"))
        if not 0 < self.end <= self.start or self.steps < 1:
            raise ValueError(
                f"temperature {dict(temperature)}: must fall to something above 0 in at least one step"
            )
        self.temperature = self.start
        self.project = nn.Linear(channels, size)
        self.vectors = nn.Linear(size, dim, bias=False)

    def set_step(self, step: int) -> None:
        """Set the temperature for a training step."""
        self.temperature = self.start * (self.end / self.start) ** min(1.0, step / self.steps)

    def draw_noise(self, x: Tensor, generator: torch.Generator | None = None) -> Noise:
        """Exponentially distributed, so that minus its logarithm is Gumbel-distributed: (B, T', K)."""
        shape = (len(x), x.shape[-1], self.size)
        return (torch.empty(shape, device=x.device).exponential_(generator=generator),)

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """Draw (training) or take the likeliest (evaluation)."""
        logits = self.project(x.transpose(1, 2)).float()
        if self.training:
            chosen, codes = self.draw(logits, *noise)
        else:
            codes = logits.argmax(-1)
            chosen = functional.one_hot(codes, self.size).to(logits.dtype)
        used = mean_over_frames(logits.softmax(-1), mask)
        usage = self.count(codes, mask)
        temperature = logits.new_full((), self.temperature)
        return BottleneckOutput(
            apply_mask(self.vectors(chosen), mask).transpose(1, 2),
            codes=codes,
            losses={"diversity": 1 - torch.special.entr(used).sum().exp() / self.size},
            stats={"usage": usage, **codebook_figures(usage), "temperature": temperature},
        )

    def draw(self, logits: Tensor, waiting: Tensor) -> tuple[Tensor, Tensor]:
        """One-hot draws with the gradient of a softmax, and their codes: (B, T', K) twice -> (B, T', K), (B, T')."""
        # Of an exponential variable E, -log E is Gumbel-distributed; the bound keeps it finite in float32.
        soft = ((logits - waiting.clamp_min(1e-20).log()) / self.temperature).softmax(-1)
        codes = soft.argmax(-1)
        hard = functional.one_hot(codes, self.size).to(soft.dtype)
        return hard + soft - soft.detach(), codes

    def lookup(self, codes: Tensor) -> Tensor:
        """Units of codes: (B, T') -> (B, D, T')."""
        return self.vectors.weight.T[codes].transpose(1, 2)


MOST_BITS = 16  # of a code that is given as one number: 65,536; larger alphabets are no use as units


class BinaryBottleneck(DiscreteBottleneck):
    """Bits drawn from Bernoulli probabilities in training, the likelier value at inference: (B, C, T') -> (B, D, T').

    Units are -1 or 1; the gradient goes straight through the draw to the probability (Bengio et al. 2013, arXiv
    1308.3432; as codes of speech: Liu et al. 2019, arXiv 1905.11563). Stats: `bits_per_frame` of the batch, and
    `bit_share` (D,), how often each bit is 1, from which an epoch's figure is made with `bit_figures`.

    Args:
        channels: C.
        dim: D, bits a code frame; codes are given as numbers up to `MOST_BITS` of them.
    """

    combinatorial = True

    def __init__(self, *, channels: int, dim: int) -> None:
        super().__init__(dim=dim, size=2**dim)
        if dim < 1:
            raise ValueError(f"dim {dim}: a code needs at least one bit")
        self.project = nn.Linear(channels, dim)

    def draw_noise(self, x: Tensor, generator: torch.Generator | None = None) -> Noise:
        """Uniform in [0, 1): (B, T', D)."""
        shape = (len(x), x.shape[-1], self.dim)
        return (torch.rand(shape, generator=generator, device=x.device),)

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """Draw (training) or take the likelier value (evaluation)."""
        # In float32: with 8 bits of mantissa, probabilities near 0 and 1 would be drawn as certain.
        share = torch.sigmoid(self.project(x.transpose(1, 2)).float())
        limit = noise[0] if self.training else 0.5
        bits = (share.detach() > limit).to(share.dtype)
        units = 2 * (share + (bits - share).detach()) - 1
        used = mean_over_frames(bits, mask)
        return BottleneckOutput(
            apply_mask(units, mask).transpose(1, 2),
            codes=self.number(bits) if self.dim <= MOST_BITS else None,
            stats={"bit_share": used, **bit_figures(used)},
        )

    def number(self, bits: Tensor) -> Tensor:
        """Bits as one number, the first bit the lowest: (B, T', D) of 0 and 1 -> (B, T')."""
        return (bits.long() << torch.arange(self.dim, device=bits.device)).sum(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Units of codes: (B, T') -> (B, D, T')."""
        bits = codes[:, None] >> torch.arange(self.dim, device=codes.device)[:, None] & 1
        return 2 * bits.to(self.project.weight.dtype) - 1


def bit_figures(share: Tensor) -> dict[str, Tensor]:
    """Entropy of independent bits, from the share of ones in each: (D,) -> scalars by name."""
    both = torch.stack((share, 1 - share)).clamp_min(0)
    return {"bits_per_frame": -torch.special.xlogy(both, both).sum() / math.log(2)}
