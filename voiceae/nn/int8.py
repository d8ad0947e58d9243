"""Int8 linear layers and unrolled convolutions for streams: a few frames at a time on one CPU core.

With so few frames, memory bandwidth and the start of each operation dominate the arithmetic: int8 weights are a quarter
of what has to be read, and a depthwise convolution over ten frames is fastest as a sum of products.

Int8 is used where the engine that torch reports has instructions for it, never by a timing, which would flip on a busy
machine. Measured on one core (10th percentile of 100 steps, float32 / int8, seconds of compute per second of audio;
with AVX-512 and restricted to AVX2):

- network .43 / .33 and .82 / .50; vocoder .34 / .21 and .53 / .36; the whole stream .82 / .61 and 1.50 / 1.01;
- a layer of 256 to 1,024 over 10 frames is 10 times as fast in either; without AVX2 still 1.2 times (`onednn`);
- only layers with 80 inputs or fewer lose, 5 microseconds each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.nn.layers import MaskedConv, apply_mask
from voiceae.nn.norm import AdaptiveInstanceNorm, Moments

# "x86" and "fbgemm" are chosen where there is AVX2, "onednn" on an x86 without; "qnnpack" is the ARM one, and is
# slower than float32 elsewhere.
_ENGINES = ("x86", "fbgemm", "onednn")


def optimise_for_few_frames(network: nn.Module, *, int8: bool) -> None:
    """Replace layers by ones that are faster for a few frames, in a copy that the caller owns.

    Args:
        network: in eval mode, on a CPU, always called with the same speaker. Weights that it shares are not changed.
            Of a module that names a method in `of_the_speaker_alone`, its first result is kept.
        int8: round the weights of linear layers to int8, where this machine has instructions for it.
    """
    int8 = int8 and torch.backends.quantized.engine in _ENGINES
    for module in list(network.modules()):
        once = getattr(module, "of_the_speaker_alone", None)
        if once is not None:
            setattr(module, once, CachedFirstResult(getattr(module, once)))
        if isinstance(module, AdaptiveInstanceNorm):
            continue  # its layer is run once
        for name, part in module.named_children():
            if int8 and type(part) is nn.Linear and part.weight.dtype == torch.float32:
                setattr(module, name, DynamicInt8Linear(part))
            elif isinstance(part, MaskedConv) and part.conv.groups == part.conv.in_channels > 1:
                setattr(module, name, UnrolledDepthwiseConv(part.conv))


class DynamicInt8Linear(nn.Module):
    """Linear layer with int8 weights, one scale per output, and inputs quantised as they come: (..., X) -> (..., Y).

    Args:
        linear: whose weights are copied and rounded.
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
        # Inputs of 7 bits (`reduce_range`): AVX2 adds two products of bytes in 16 bits, which 8 bits would overflow.
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)
        return y


class UnrolledDepthwiseConv(nn.Module):
    """A depthwise `MaskedConv` as a sum over its taps, for few frames: (B, T, D), mask (B, T) -> (B, T, D).

    Args:
        conv: whose weights are taken.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.size = conv.kernel_size[0]
        self.weight = conv.weight.detach()[:, 0].T.contiguous()  # (kernel, D)
        self.bias = conv.weight.new_zeros(()) if conv.bias is None else conv.bias

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve valid frames as if zeros surrounded them: (B, T, D), mask (B, T) -> (B, T, D)."""
        half = self.size // 2
        wide = functional.pad(apply_mask(x, mask), (0, 0, half, half))
        near = wide.unfold(1, self.size, 1).transpose(2, 3)
        return apply_mask((near * self.weight).sum(2).add_(self.bias), mask)


class CachedFirstResult:
    """Caches a function's first result and returns it for every later argument.

    Args:
        function: called once.
    """

    def __init__(self, function: Callable[[Tensor], Moments]) -> None:
        self._function = function
        self._result: Moments | None = None

    def __call__(self, x: Tensor) -> Moments:
        """The result for the first argument: (B, S) -> moments."""
        if self._result is None:
            self._result = self._function(x)
        return self._result
