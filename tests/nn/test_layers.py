"""Convolutions, folding, and that padding changes nothing."""

import pytest
import torch
from torch.nn import functional

from voiceae.nn.layers import Block, MaskedConv, StackFrames, UnstackFrames
from voiceae.nn.norm import InstanceNorm


@pytest.mark.parametrize(("channels", "out", "groups"), [(3, 5, 1), (6, 6, 6)])
def test_masked_conv_is_a_convolution_between_zeros(channels, out, groups):
    conv = MaskedConv(channels, out, 5, groups=groups)
    x = torch.randn(2, 9, channels, requires_grad=True)
    wanted = functional.conv1d(
        functional.pad(x.transpose(1, 2), (2, 2)), conv.conv.weight, conv.conv.bias, groups=groups
    ).transpose(1, 2)
    ours = conv(x)
    torch.testing.assert_close(ours, wanted)
    parameters = (x, conv.conv.weight, conv.conv.bias)
    weight = torch.randn_like(wanted)
    gradients = (torch.autograd.grad((y * weight).sum(), parameters) for y in (ours, wanted))
    torch.testing.assert_close(*gradients)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="odd"):
        MaskedConv(1, 1, 4)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_what_lies_in_the_padding_does_not_matter(length):
    block = Block(6, 12, norm=InstanceNorm(), kernel_size=5).eval()
    x = torch.randn(1, 10, 6)
    mask = torch.arange(10)[None] < length
    with torch.inference_mode():
        alone = block(x[:, :length])
        padded = block(x * mask[..., None], mask)
    torch.testing.assert_close(padded[:, :length], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 395])
def test_unfold_undoes_fold(frames):
    x = torch.randn(2, frames, 3)
    folded = StackFrames(4)(x)
    assert folded.shape == (2, -(-frames // 4), 12)
    torch.testing.assert_close(UnstackFrames(4)(folded, frames), x)


def test_unfold_refuses_frames_that_are_not_there():
    with pytest.raises(ValueError, match="at most 8 frames"):
        UnstackFrames(4)(torch.zeros(1, 2, 12), 9)
