"""Masks (B, T) of valid frames beside padding, and layers on time-major features (B, T, D) that keep them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence


def lengths_to_mask(lengths: Tensor, frames: int) -> Tensor:
    """True for the first `lengths[b]` of `frames` frames: (B,) -> (B, T) bool."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def apply_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padding: (B, T, D), (B, T) -> (B, T, D); without a mask all frames are valid."""
    # On a GPU a choice by the mask as it is saves a cast to x's type each time; on a CPU the product is the faster.
    if mask is None:
        return x
    return torch.where(mask[..., None].bool(), x, 0.0) if x.is_cuda else x * mask[..., None].to(x.dtype)


def downsample_mask(mask: Tensor | None, rate: int) -> Tensor | None:
    """Mask at 1/rate of the frame rate, valid where any of `rate` frames is: (B, T) -> (B, ceil(T / rate))."""
    if mask is None or rate == 1:
        return mask
    padded = functional.pad(mask.to(torch.uint8), (0, -mask.shape[1] % rate))
    return padded.unflatten(1, (-1, rate)).amax(-1).bool()


def masked_average_pool(x: Tensor, mask: Tensor, rate: int) -> Tensor:
    """Mean over the valid ones of every `rate` frames, 0 if none is: (B, T, D), (B, T) -> (B, ceil(T / rate), D)."""
    padding = (0, 0, 0, -x.shape[1] % rate)
    weight = mask[..., None].to(x.dtype)
    total, count = (
        functional.pad(each, padding).unflatten(1, (-1, rate)).sum(2) for each in (x * weight, weight)
    )
    return total / count.clamp_min(1)


class MaskedConv(nn.Module):
    """Convolution over time, zero-padded to keep the length: (B, T, D) -> (B, T, out)."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size}: must be odd to keep frames where they are")
        self.conv = nn.Conv1d(channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve valid frames as if zeros surrounded them: (B, T, D), mask (B, T) -> (B, T, out)."""
        x = apply_mask(x, mask).transpose(1, 2)
        if x.is_cuda:
            return apply_mask(self.conv(x).transpose(1, 2), mask)
        # On a CPU `conv1d` would copy the time-major memory to channel-major first. As images of height 1 it is
        # `channels_last` already and stays where it is: 2 to 30 times as fast for depthwise kernels.
        weight, padding = self.conv.weight.unsqueeze(2), (0, self.conv.kernel_size[0] // 2)
        y = functional.conv2d(
            x.unsqueeze(2), weight, self.conv.bias, padding=padding, groups=self.conv.groups
        )
        return apply_mask(y.squeeze(2).transpose(1, 2), mask)


class Block(nn.Module):
    """Residual block: depthwise convolution, norm, two-layer perceptron (ConvNeXt, arXiv 2201.03545).

    (B, T, D), mask (B, T), speaker (B, S) -> (B, T, D).

    Args:
        channels: D.
        hidden: width of the perceptron.
        kernel_size: of the depthwise convolution, odd.
        norm: module called as `norm(x, mask, speaker)`.
        layer_scale: initial size of the branch.
    """

    def __init__(
        self, channels: int, hidden: int, *, norm: nn.Module, kernel_size: int = 7, layer_scale: float = 0.3
    ) -> None:
        super().__init__()
        self.mix = MaskedConv(channels, channels, kernel_size, groups=channels)
        self.norm = norm
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(nn.init.constant_(self.contract.bias.new_empty(channels), layer_scale))

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Add the branch to its input."""
        y = self.norm(self.mix(x, mask), mask, speaker)
        # The tanh form of GELU (Hendrycks and Gimpel 2016, section 2): trained weights are fitted to it.
        y = self.contract(functional.gelu(self.expand(y), approximate="tanh"))
        return x + apply_mask(y * self.scale, mask)


class BlockStack(nn.ModuleList):
    """Blocks of one size, one after another: (B, T, D), mask (B, T), speaker (B, S) -> (B, T, D).

    Args:
        n_blocks: how many.
        channels: D.
        hidden: width of the perceptron in each.
        norm: makes the norm of each.
        kernel_size: of the depthwise convolutions, odd.
    """

    def __init__(
        self,
        n_blocks: int,
        channels: int,
        hidden: int,
        *,
        norm: Callable[[], nn.Module],
        kernel_size: int = 7,
    ) -> None:
        super().__init__(
            Block(channels, hidden, norm=norm(), kernel_size=kernel_size) for _ in range(n_blocks)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Run all blocks; the norms that take no speaker ignore it."""
        for block in self:
            x = block(x, mask, speaker)
        return x


class StackFrames(nn.Module):
    """Stack `rate` neighbouring frames into one, zeros after the last: (B, T, D) -> (B, ceil(T / rate), rate * D)."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Reshape: (B, T, D) -> (B, ceil(T / rate), rate * D)."""
        return functional.pad(x, (0, 0, 0, -x.shape[1] % self.rate)).unflatten(1, (-1, self.rate)).flatten(2)


class UnstackFrames(nn.Module):
    """Inverse of `StackFrames`, cut to `frames`: (B, T', rate * D) -> (B, frames, D)."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Reshape: (B, T', rate * D) -> (B, frames, D).

        Raises:
            ValueError: when there are fewer frames than `frames`.
        """
        wide = x.unflatten(2, (self.rate, -1)).flatten(1, 2)
        if wide.shape[1] < frames:
            raise ValueError(
                f"{x.shape[1]} code frames give at most {wide.shape[1]} frames, {frames} are needed"
            )
        return wide[:, :frames]


class LSTM(nn.LSTM):
    """torch's LSTM, on a CPU in float32 also under autocast: (B, T, X) -> (B, T, C), states.

    oneDNN has a half-precision LSTM only for processors with AVX-512; on others torch raises an error.
    """

    def forward(self, x: Tensor | PackedSequence, hx: Any = None) -> Any:
        """See `torch.nn.LSTM`; takes a packed sequence too."""
        data = x.data if isinstance(x, PackedSequence) else x
        if data.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return nn.LSTM.forward(self, x, hx)
        with torch.autocast("cpu", enabled=False):
            full = data.float()
            return nn.LSTM.forward(self, x._replace(data=full) if isinstance(x, PackedSequence) else full, hx)


class ScaleGradient(torch.autograd.Function):
    """Identity in the forward pass; multiplies the gradient in the backward pass."""

    @staticmethod
    def forward(context: Any, x: Tensor, factor: float) -> Tensor:
        """Return the input unchanged: any shape -> the same."""
        context.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply the gradient by the factor: any shape -> the same."""
        return gradients[0] * context.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """The same tensor with its gradient multiplied by `factor`: any shape -> the same shape.

    A negative factor reverses it (Ganin and Lempitsky 2015, arXiv 1409.7495): the layers after this learn their task
    while those before it learn to make it impossible. A factor of 0 detaches.
    """
    if factor == 0:
        return x.detach()
    scaled: Tensor = ScaleGradient.apply(x, factor)
    return scaled


def time_jitter(
    x: Tensor,
    probability: float,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    drawn: Tensor | None = None,
) -> Tensor:
    """Replace frames by the one before or the one after, either equally likely: (B, T, D), mask (B, T) -> (B, T, D).

    Chorowski et al. 2019 (arXiv 1901.08810), section III-C: dropout for sequences of codes.

    Args:
        x: frames.
        probability: of a frame to be replaced; a frame at an end, or beside padding, stays when its neighbour is not
            there.
        mask: frames that count.
        generator: of the draws.
        drawn: (B, T) uniform in [0, 1), where the draws were made before.
    """
    if drawn is None:
        drawn = torch.rand(x.shape[:2], generator=generator, device=x.device)
    move = (drawn > 1 - probability / 2).long() - (drawn < probability / 2).long()
    own = torch.arange(x.shape[1], device=x.device).expand_as(move)
    source = (own + move).clamp(0, x.shape[1] - 1)
    if mask is not None:
        source = torch.where(mask.bool().gather(1, source), source, own)
    return x.gather(1, source[..., None].expand_as(x))


class Scheduled(nn.Module):
    """A module with a schedule over training steps; its output at inference does not depend on it.

    State must be a function of the step alone, because a resumed training only sets the step again.
    """

    def set_step(self, step: int) -> None:
        """Set the training step, counted from 0; called before each."""
        raise NotImplementedError


def scheduled_modules(module: nn.Module) -> list[Scheduled]:
    """All submodules that have a schedule over training steps."""
    return [part for part in module.modules() if isinstance(part, Scheduled)]


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, element by element: any shape -> the same shape.

    Kingma and Welling 2014 (arXiv 1312.6114), appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)


def monte_carlo_kl(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """One-sample estimate `log q(z | x) - log p(z)` in nats, element by element; its expectation is `gaussian_kl`."""
    log_q = -0.5 * (math.log(2 * math.pi) + log_variance + (z - mean).square() * torch.exp(-log_variance))
    log_p = -0.5 * (math.log(2 * math.pi) + z.square())
    return log_q - log_p
