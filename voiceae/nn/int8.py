"""The layers of a network, made for what a stream asks of them: a few frames at a time, on one core of a CPU.

There the time does not go into arithmetic but into reading weights and into getting operations started. Weights of
eight bits are a quarter of what there is to read; a convolution over ten frames is quickest written out.

Whether eight bits pay is decided by the engine that torch reports, which follows the processor's instructions, and
never by a timing. Measured on one core with cpuid kept from naming what the processor has beyond AVX2 (the lowest tenth
of 100 steps, float32 / eight bits, seconds a second; as it is and with AVX2 only, on a busy machine):

- network .43 / .33 and .82 / .50; vocoder .34 / .21 and .53 / .36; the whole stream .82 / .61 and 1.50 / 1.01;
- a layer of 256 to 1,024 over 10 frames is 10 times as fast in either; without AVX2 still 1.2 times (`onednn`);
- only layers of 80 or less inputs lose, 5 microseconds each.

So no part loses by them on AVX2: a stream costs more there because all its parts do, float32 most of all.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.nn.layers import MaskedConv
from voiceae.nn.masking import apply_mask
from voiceae.nn.norm import AdaptiveInstanceNorm, Moments

# "x86" and "fbgemm" are chosen where there is AVX2, "onednn" on an x86 without; "qnnpack" is the ARM one, and is
# slower than float32 elsewhere.
_ENGINES = ("x86", "fbgemm", "onednn")


def optimise_for_few_frames(network: nn.Module, *, int8: bool) -> None:
    """Put quick layers in the place of what can be done quicker, in a copy that the caller owns.

    Args:
        network: in eval mode, on a CPU, always asked with the same speaker. What it shares with others is left alone.
        int8: round the weights of linear layers to eight bits, where this machine can calculate with them.
    """
    int8 = int8 and torch.backends.quantized.engine in _ENGINES
    for module in list(network.modules()):
        if isinstance(module, AdaptiveInstanceNorm):
            module.scale_and_shift = CachedFirstResult(module.scale_and_shift)  # type: ignore[method-assign,assignment]  # of this copy
            continue
        for name, part in module.named_children():
            if int8 and type(part) is nn.Linear and part.weight.dtype == torch.float32:
                setattr(module, name, DynamicInt8Linear(part))
            elif isinstance(part, MaskedConv) and part.conv.groups == part.conv.in_channels > 1:
                setattr(module, name, UnrolledDepthwiseConv(part.conv))


class DynamicInt8Linear(nn.Module):
    """A linear layer with weights of eight bits: (..., X) -> (..., Y).

    Every row of the weights has a scale of its own; what comes in is rounded to seven bits between its extremes, which
    no processor's sums of products overflow.

    Args:
        linear: whose weights are rounded; it keeps its own.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.weight, self.bias = linear.weight, linear.bias
        scale = weight.abs().amax(1).clamp_min(torch.finfo(weight.dtype).tiny).double() / 127
        rounded = torch.quantize_per_channel(
            weight, scale, torch.zeros_like(scale, dtype=torch.long), 0, torch.qint8
        )
        bias = None if linear.bias is None else linear.bias.detach().float()
        self._packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add: (..., X) -> (..., Y)."""
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)
        return y


class UnrolledDepthwiseConv(nn.Module):
    """A depthwise `MaskedConv`, written out for few frames: (B, T, D), mask (B, T) -> (B, T, D).

    Args:
        conv: whose weights are taken.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.size = conv.kernel_size[0]
        self.weight = conv.weight.detach()[:, 0].T.contiguous()  # (kernel, D)
        self.bias = conv.weight.new_zeros(()) if conv.bias is None else conv.bias

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve valid frames as if zeros surrounded them."""
        half = self.size // 2
        wide = functional.pad(apply_mask(x, mask), (0, 0, half, half))
        near = wide.unfold(1, self.size, 1).transpose(2, 3)
        return apply_mask((near * self.weight).sum(2).add_(self.bias), mask)


class CachedFirstResult:
    """Answers as a function did the first time, whatever is asked later.

    Args:
        function: asked once.
    """

    def __init__(self, function: Callable[[Tensor], Moments]) -> None:
        self._function = function
        self._answer: Moments | None = None

    def __call__(self, x: Tensor) -> Moments:
        """What the first question was answered with."""
        if self._answer is None:
            self._answer = self._function(x)
        return self._answer
