"""Gradients on their way back, against the chain rule done by hand."""

import pytest
import torch

from voiceae.nn.layers import scale_gradient


@pytest.mark.parametrize("factor", [1.0, -2.5, 0.1])
def test_the_value_stays_and_the_gradient_is_multiplied(factor: float) -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = scale_gradient(x, factor)
    assert torch.equal(y, x)
    (3 * y.square()).sum().backward()
    torch.testing.assert_close(x.grad, factor * 6 * x.detach())


def test_nothing_comes_back_through_zero() -> None:
    x = torch.ones(2, requires_grad=True)
    assert not scale_gradient(x, 0.0).requires_grad


def test_what_comes_after_learns_as_usual() -> None:
    x, weight = torch.ones(2, requires_grad=True), torch.tensor([2.0, 3.0], requires_grad=True)
    (scale_gradient(x, -1.0) * weight).sum().backward()
    assert weight.grad is not None and x.grad is not None
    assert weight.grad.tolist() == [1, 1] and x.grad.tolist() == [-2, -3]
