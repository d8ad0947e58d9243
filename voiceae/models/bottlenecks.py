"""Bottlenecks behind one result type: linear, Gaussian (VAE) and vector-quantised (VQ-VAE)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, distributed, nn

from voiceae.hardware import full_precision
from voiceae.nn.layers import apply_mask, gaussian_kl, monte_carlo_kl, time_jitter


@dataclass(frozen=True)
class BottleneckOutput:
    """Units that a bottleneck gives the decoder, with its codes, losses and statistics.

    Attributes:
        units: (B, D, T').
        codes: (B, T') indices where the bottleneck is discrete.
        losses: named scalars to be weighted.
        stats: named scalars or tensors to be logged only.
    """

    units: Tensor
    codes: Tensor | None = None
    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)


Noise = tuple[Tensor, ...]
"""Random tensors that a bottleneck uses in training; their number and shapes are those of its `draw_noise`."""


class BottleneckPart(nn.Module):
    """A bottleneck of any kind: (B, C, T'), mask (B, T') -> `BottleneckOutput`.

    Random numbers are drawn apart from the computation, so that the latter can be compiled: a graph takes tensors, not
    generators.

    Attributes:
        dim: D, of the units.
    """

    dim: int

    def draw_noise(self, x: Tensor, generator: torch.Generator | None = None) -> Noise:
        """Random tensors for one call in training with features x (B, C, T'), on their device; none by default."""
        return ()

    def forward(
        self, x: Tensor, mask: Tensor | None = None, noise: Noise | torch.Generator | None = None
    ) -> BottleneckOutput:
        """Units of features.

        Args:
            x: (B, C, T').
            mask: (B, T').
            noise: of `draw_noise`, or the generator to draw it with; in training only.
        """
        if not self.training:
            noise = ()
        return self._units(x, mask, noise if isinstance(noise, tuple) else self.draw_noise(x, noise))

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """What `forward` returns; without noise in evaluation."""
        raise NotImplementedError


class DiscreteBottleneck(BottleneckPart):
    """A bottleneck with finitely many codes: (B, C, T') -> `BottleneckOutput` with `codes`.

    Attributes:
        dim: D, of the units.
        size: K, how many codes there are.
        combinatorial: whether a code is a combination of bits, of which most may never occur.
    """

    combinatorial: ClassVar[bool] = False

    def __init__(self, *, dim: int, size: int) -> None:
        super().__init__()
        self.dim, self.size = dim, size

    def lookup(self, codes: Tensor) -> Tensor:
        """Units of codes: (B, T') -> (B, D, T')."""
        raise NotImplementedError

    def count(self, codes: Tensor, mask: Tensor | None) -> Tensor:
        """How often each code occurs in valid frames: (B, T'), mask (B, T') -> (K,) float32."""
        valid = torch.ones_like(codes, dtype=torch.float32) if mask is None else mask.float()
        return torch.zeros(self.size, device=codes.device).index_add_(0, codes.flatten(), valid.flatten())


class LinearBottleneck(BottleneckPart):
    """A plain autoencoder's bottleneck, a linear map: (B, C, T') -> (B, D, T')."""

    def __init__(self, *, channels: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(channels, dim)

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """Project: (B, C, T') -> units (B, D, T')."""
        return BottleneckOutput(apply_mask(self.project(x.transpose(1, 2)), mask).transpose(1, 2))


class GaussianBottleneck(BottleneckPart):
    """A VAE's bottleneck: a diagonal Gaussian per code frame, sampled in training, its mean at inference.

    (B, C, T') -> (B, D, T'). Losses: `kl`, nats per code frame against N(0, I) after free bits; stats: `kl_raw`
    without them and `kl_per_dim` (D,). Kingma and Welling 2014 (arXiv 1312.6114); free bits: Kingma et al. 2016
    (arXiv 1606.04934).

    Args:
        channels: C.
        dim: D.
        free_nats: per dimension and code frame; the batch mean of a dimension's KL is not pushed below it.
        monte_carlo: estimate the KL from the sample, `log q(z|x) - log p(z)`, instead of in closed form.
    """

    def __init__(self, *, channels: int, dim: int, free_nats: float = 0.0, monte_carlo: bool = False) -> None:
        super().__init__()
        if free_nats < 0:
            raise ValueError(f"free_nats {free_nats}: must not be negative")
        self.dim = dim
        self.free_nats = free_nats
        self.monte_carlo = monte_carlo
        self.project = nn.Linear(channels, 2 * dim)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance: (B, C, T') -> (B, T', D) twice, float32, log-variance softly held in [-10, 10]."""
        mean, log_variance = self.project(x.transpose(1, 2)).float().chunk(2, dim=-1)
        # Deviations stay within e^-5 to e^5: without a bound, exp() in the KL can overflow early in training.
        return mean, 10 * torch.tanh(log_variance / 10)

    def draw_noise(self, x: Tensor, generator: torch.Generator | None = None) -> Noise:
        """Standard normal: (B, T', D)."""
        shape = (len(x), x.shape[-1], self.dim)
        return (torch.randn(shape, generator=generator, device=x.device),)

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """Sample (training) or take the mean (evaluation)."""
        mean, log_variance = self.posterior(x)
        z = mean + noise[0] * (0.5 * log_variance).exp() if self.training else mean
        per_dim = raw = mean_over_frames(gaussian_kl(mean, log_variance), mask)
        if self.monte_carlo:
            per_dim = mean_over_frames(monte_carlo_kl(z, mean, log_variance), mask)
        return BottleneckOutput(
            apply_mask(z, mask).transpose(1, 2),
            losses={"kl": per_dim.clamp_min(self.free_nats).sum()},
            stats={"kl_raw": raw.sum().detach(), "kl_per_dim": raw.detach()},
        )


def nearest_row(vectors: Tensor, table: Tensor) -> Tensor:
    """Index of the row nearest to each vector: (N, D), (K, D) -> (N,)."""
    with full_precision(vectors.device.type):  # half precision cannot tell near codes apart
        distance = table.square().sum(-1) - 2 * vectors @ table.T
    return distance.argmin(-1)


# torch.compile cannot trace a change of the products' precision; an opaque operator may change it inside.
compiled_nearest = torch.library.custom_op(
    "voiceae::nearest_row", nearest_row, mutates_args=(), schema="(Tensor vectors, Tensor table) -> Tensor"
)


@compiled_nearest.register_fake
def _(vectors: Tensor, table: Tensor) -> Tensor:
    return vectors.new_empty(len(vectors), dtype=torch.long)


class VQ(DiscreteBottleneck):
    """Nearest codebook vector, straight-through gradient, codebook by moving averages: (B, C, T') -> (B, D, T').

    van den Oord et al. 2017 (arXiv 1711.00937), appendix A.1 for the averages. Codes that are hardly used are replaced
    by vectors of the batch (random restarts, Dhariwal et al. 2020, arXiv 2005.00341); while nothing before the codebook
    is trained, it does not change. Losses: `commitment`; stats: `perplexity` and `bits_per_frame` of the batch, and
    `usage` (K,) counts, from which `codebook_figures` makes the figures of an epoch.

    Args:
        channels: C.
        dim: D, of the codebook.
        size: K.
        decay: of the moving averages, 0.99 as in the paper.
        revive_below: a code whose average use per batch falls below this many frames is replaced; 0 never revives.
        jitter: probability of a frame's vector to be replaced by its neighbour's, in training; see `time_jitter`.
    """

    codebook: Tensor
    cluster_size: Tensor
    cluster_sum: Tensor
    started: Tensor

    def __init__(
        self,
        *,
        channels: int,
        dim: int,
        size: int = 512,
        decay: float = 0.99,
        revive_below: float = 0.5,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(dim=dim, size=size)
        if size < 2:
            raise ValueError(f"size {size}: a codebook needs at least two codes")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter {jitter}: must lie between 0 and 1")
        self.decay, self.revive_below, self.jitter = decay, revive_below, jitter
        self.project = nn.Linear(channels, dim)
        codebook = torch.randn(size, dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("codebook", codebook)
        self.register_buffer("cluster_size", torch.ones(size))
        self.register_buffer("cluster_sum", codebook.clone())
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def draw_noise(self, x: Tensor, generator: torch.Generator | None = None) -> Noise:
        """For restarts: frames as (K,) in [0, 1) and offsets (K, D) normal; for the jitter: (B, T') in [0, 1)."""
        shapes = ((self.size,), (self.size, self.dim), (len(x), x.shape[-1]))
        draws = (torch.rand, torch.randn, torch.rand)
        return tuple(
            draw(shape, generator=generator, device=x.device)
            for draw, shape in zip(draws[: 3 if self.jitter else 2], shapes, strict=False)
        )

    def _units(self, x: Tensor, mask: Tensor | None, noise: Noise) -> BottleneckOutput:
        """Quantise, and in training update the codebook."""
        latent = self.project(x.transpose(1, 2)).float()
        valid = latent.new_ones(latent.shape[:2]) if mask is None else mask.to(latent.dtype)
        flat = latent.detach().flatten(0, 1)
        # Not where the encoder is frozen or another stage is trained.
        follows = self.training and latent.requires_grad
        if follows:
            fresh = self._fresh(flat, valid.flatten(), *noise[:2])
            with torch.no_grad():
                # Begin with vectors of the first batch; chosen on the device: a Python `if` would wait for it.
                for kept in (self.codebook, self.cluster_sum):
                    kept.copy_(torch.where(self.started, kept, fresh))
                self.started.fill_(True)
        codes = self.nearest(flat)
        quantised = self.codebook[codes].view_as(latent)
        usage = self.count(codes.view(latent.shape[:2]), mask)
        if follows:
            usage = self._follow(flat, codes, valid.flatten(), usage, fresh)
        distance = (latent - quantised.detach()).square().mean(-1)
        units = latent + (quantised - latent).detach()  # straight-through: the gradient of the identity
        if self.training and self.jitter:
            units = time_jitter(units, self.jitter, mask, drawn=noise[2])
        return BottleneckOutput(
            apply_mask(units, mask).transpose(1, 2),
            codes=codes.view(latent.shape[:2]),
            losses={"commitment": (distance * valid).sum() / valid.sum().clamp_min(1)},
            stats={"usage": usage, **codebook_figures(usage)},
        )

    def nearest(self, vectors: Tensor) -> Tensor:
        """Index of the nearest code: (N, D) -> (N,)."""
        find = compiled_nearest if torch.compiler.is_compiling() else nearest_row
        found: Tensor = find(vectors, self.codebook)
        return found

    def lookup(self, codes: Tensor) -> Tensor:
        """Units of codes: (B, T') -> (B, D, T')."""
        return self.codebook[codes].transpose(1, 2)

    @torch.no_grad()
    def _fresh(self, flat: Tensor, valid: Tensor, places: Tensor, off: Tensor) -> Tensor:
        """Vectors of the batch for new codes, the same on every process: (N, D), (N,), (K,), (K, D) -> (K, D)."""
        counted = valid.long().cumsum(0)
        rank = (places * counted[-1]).long().minimum(counted[-1] - 1)
        index = torch.searchsorted(counted, rank + 1).clamp_max(len(flat) - 1)
        return self._broadcast(flat[index] + 1e-3 * off)  # two codes from one frame would stay equal for ever

    @staticmethod
    def _broadcast(fresh: Tensor) -> Tensor:
        """What the first process drew, on every process: any shape -> the same."""
        if distributed.is_available() and distributed.is_initialized():
            fresh = fresh.contiguous()
            distributed.broadcast(fresh, src=0)
        return fresh

    @torch.no_grad()
    def _follow(self, flat: Tensor, codes: Tensor, valid: Tensor, usage: Tensor, fresh: Tensor) -> Tensor:
        """Update the averages and restart unused codes: -> the batch's usage over all processes, (K,)."""
        total = torch.zeros_like(self.cluster_sum).index_add_(0, codes, flat * valid[:, None])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(usage)
            distributed.all_reduce(total)
        self.cluster_size.lerp_(usage, 1 - self.decay)
        self.cluster_sum.lerp_(total, 1 - self.decay)
        # The bound is for codes without use, of which the sum is as small.
        self.codebook.copy_(self.cluster_sum / self.cluster_size.clamp_min(1e-5)[:, None])
        if self.revive_below > 0:
            # Sizes start at twice the limit: a new code has 69 batches (at a decay of 0.99) to attract frames in.
            dead = (self.cluster_size < self.revive_below)[:, None]
            self.codebook.copy_(torch.where(dead, fresh, self.codebook))
            self.cluster_size.copy_(torch.where(dead[:, 0], 2 * self.revive_below, self.cluster_size))
            self.cluster_sum.copy_(torch.where(dead, fresh * 2 * self.revive_below, self.cluster_sum))
        return usage


def codebook_figures(usage: Tensor) -> dict[str, Tensor]:
    """Perplexity and entropy (bits) of the codes' usage: (K,) -> scalars by name."""
    share = usage / usage.sum().clamp_min(1)
    nats = -torch.special.xlogy(share, share).sum()
    return {"perplexity": nats.exp(), "bits_per_frame": nats / math.log(2)}


def mean_over_frames(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over batch and valid frames: (B, T', D), mask (B, T') -> (D,)."""
    if mask is None:
        return x.mean((0, 1))
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum((0, 1)) / weight.sum().clamp_min(1)
