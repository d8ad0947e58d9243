"""Norms against torch's own, and what they must and must not keep."""

import torch
from torch.nn import functional

from voiceae.nn.norm import AdaptiveInstanceNorm, FrameNorm, InstanceNorm


def test_instance_norm_is_torchs():
    x = torch.randn(3, 11, 4) * 2 + 5
    theirs = functional.instance_norm(x.transpose(1, 2), eps=1e-5).transpose(1, 2)
    torch.testing.assert_close(InstanceNorm()(x), theirs, atol=1e-5, rtol=1e-5)


def test_instance_norm_forgets_gain_and_offset():
    x = torch.randn(1, 50, 4)
    torch.testing.assert_close(InstanceNorm()(3 * x + 7), InstanceNorm()(x), atol=1e-4, rtol=1e-4)


def test_adaptive_norm_gives_the_moments_the_speaker_asks_for():
    norm = AdaptiveInstanceNorm(4, 3)
    with torch.no_grad():
        norm.affine.weight.copy_(torch.randn(8, 3))
    speaker = torch.tensor([[0.5, -1.0, 2.0]])
    scale, shift = norm.affine(speaker).chunk(2, -1)
    y = norm(torch.randn(1, 400, 4) * 9 - 3, None, speaker)
    torch.testing.assert_close(y.mean(1), shift, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(y.std(1, correction=0), (1 + scale).abs(), atol=1e-3, rtol=1e-3)


def test_frame_norm_keeps_each_frame_apart():
    norm = FrameNorm(6)
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(norm(x)[:, 2:3], norm(x[:, 2:3]))


def test_padding_stays_zero():
    mask = torch.tensor([[True, True, False]])
    for norm in (InstanceNorm(), AdaptiveInstanceNorm(4, 3), FrameNorm(4)):
        assert norm(torch.randn(1, 3, 4), mask, torch.randn(1, 3))[0, 2].abs().max() == 0
