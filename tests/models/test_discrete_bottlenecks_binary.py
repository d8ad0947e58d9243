"""The binary bottleneck against what Bernoulli variables do."""

import math

import pytest
import torch

from voiceae.models import BinaryBottleneck
from voiceae.models.discrete_bottlenecks import bit_figures


def features(frames: int = 50, items: int = 4) -> torch.Tensor:
    return torch.randn((items, 6, frames), generator=torch.Generator().manual_seed(1))


def shares(bottleneck: BinaryBottleneck, x: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(
        torch.einsum("bct,dc->bdt", x, bottleneck.project.weight) + bottleneck.project.bias[:, None]
    )


def test_bits_are_drawn_in_training_and_decided_at_inference() -> None:
    torch.manual_seed(0)
    bottleneck, x = BinaryBottleneck(channels=6, dim=3), features()
    share = shares(bottleneck, x)
    bottleneck.train()
    draws = torch.stack([bottleneck(x, None, torch.Generator().manual_seed(i)).units for i in range(300)])
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    assert ((draws.mean(0) + 1) / 2 - share).abs().mean().item() < 0.04  # 300 draws: deviation .029
    result = bottleneck.eval()(x)
    assert torch.equal(result.units, torch.where(share > 0.5, 1.0, -1.0))
    assert torch.equal(bottleneck(x).units, result.units)


def test_codes_are_the_bits_and_give_the_units_back() -> None:
    bottleneck = BinaryBottleneck(channels=6, dim=5).eval()
    result = bottleneck(features())
    assert result.codes is not None
    by_hand = sum((result.units[:, bit] > 0).long() * 2**bit for bit in range(5))
    assert torch.equal(result.codes, by_hand)
    assert torch.equal(bottleneck.lookup(result.codes), result.units)
    assert int(result.codes.max()) < bottleneck.size == 32


def test_the_gradient_is_that_of_the_probability() -> None:
    bottleneck, weights = BinaryBottleneck(channels=6, dim=3).train(), torch.randn(4, 3, 50)
    x = features().requires_grad_()
    (bottleneck(x, None, torch.Generator().manual_seed(0)).units * weights).sum().backward()
    (wanted,) = torch.autograd.grad((2 * shares(bottleneck, x) * weights).sum(), x)
    torch.testing.assert_close(x.grad, wanted, atol=1e-5, rtol=1e-5)


def test_bits_are_counted_over_valid_frames() -> None:
    bottleneck = BinaryBottleneck(channels=6, dim=3).eval()
    mask = torch.arange(50) < torch.tensor([[10], [50], [1], [20]])
    result = bottleneck(features(), mask)
    bits = (bottleneck(features()).units.transpose(1, 2)[mask] > 0).float()
    torch.testing.assert_close(result.stats["bit_share"], bits.mean(0))
    assert not result.units.transpose(1, 2)[~mask].any()


def test_bit_figures() -> None:
    figure = bit_figures(torch.tensor([0.5, 1.0, 0.25]))["bits_per_frame"].item()
    assert figure == pytest.approx(1 - 0.25 * math.log2(0.25) - 0.75 * math.log2(0.75))


def test_a_wide_code_has_no_number() -> None:
    assert BinaryBottleneck(channels=6, dim=17)(features()).codes is None
    with pytest.raises(ValueError, match="at least one bit"):
        BinaryBottleneck(channels=6, dim=0)
