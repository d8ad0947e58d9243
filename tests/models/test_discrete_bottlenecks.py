"""The one-hot bottleneck against the distribution it draws from and the softmax it learns by."""

import pytest
import torch

from voiceae.models import OneHotBottleneck

FALLING = {"start": 2.0, "end": 0.5, "steps": 100}


def made(size: int = 5) -> OneHotBottleneck:
    torch.manual_seed(0)
    return OneHotBottleneck(channels=6, dim=3, size=size, temperature=FALLING)


def features(frames: int = 50, items: int = 4) -> torch.Tensor:
    return 2 * torch.randn((items, 6, frames), generator=torch.Generator().manual_seed(1))


def test_classes_are_drawn_by_their_probability_whatever_the_temperature() -> None:
    bottleneck = made().train()
    x = features(1, 1).expand(1, 6, 20000)
    wanted = bottleneck.project(x[0, :, 0]).softmax(-1)
    for step in (0, 100):
        bottleneck.set_step(step)
        codes = bottleneck(x, None, torch.Generator().manual_seed(3)).codes
        share = torch.bincount(codes.flatten(), minlength=5) / codes.numel()
        torch.testing.assert_close(share, wanted, atol=0.015, rtol=0)  # four standard errors


def test_units_are_the_vectors_of_the_codes() -> None:
    bottleneck = made()
    for training in (True, False):
        result = bottleneck.train(training)(features(), None, torch.Generator().manual_seed(0))
        torch.testing.assert_close(result.units, bottleneck.lookup(result.codes), atol=1e-6, rtol=1e-6)


def test_inference_takes_the_likeliest_class_at_any_step() -> None:
    bottleneck = made().eval()
    wanted = bottleneck.project(features().transpose(1, 2)).argmax(-1)
    for step in (0, 1000):
        bottleneck.set_step(step)
        assert torch.equal(bottleneck(features()).codes, wanted)


def test_the_gradient_is_that_of_a_softmax_at_the_temperature() -> None:
    """The draw adds noise that can be had by drawing it once more."""
    bottleneck = made().train()
    bottleneck.set_step(25)
    assert bottleneck.temperature == pytest.approx(2**0.5)  # a quarter of the way from 2 to 1/2 by a factor
    weights, x = torch.randn(4, 3, 50), features().requires_grad_()
    (bottleneck(x, None, torch.Generator().manual_seed(5)).units * weights).sum().backward()
    waiting = torch.empty(4, 50, 5).exponential_(generator=torch.Generator().manual_seed(5))
    soft = ((bottleneck.project(x.transpose(1, 2)) - waiting.log()) / 2**0.5).softmax(-1)
    (wanted,) = torch.autograd.grad(((soft @ bottleneck.vectors.weight.T).transpose(1, 2) * weights).sum(), x)
    torch.testing.assert_close(x.grad, wanted, atol=1e-5, rtol=1e-4)


def test_the_temperature_falls_and_stays() -> None:
    bottleneck, seen = made(), []
    for step in (0, 25, 50, 100, 10_000):
        bottleneck.set_step(step)
        seen.append(bottleneck.temperature)
    assert seen == pytest.approx([2.0, 2**0.5, 1.0, 0.5, 0.5])


def test_diversity_is_the_share_of_classes_that_go_unused() -> None:
    bottleneck = made(size=4).eval()
    torch.nn.init.zeros_(bottleneck.project.weight)
    for bias, wanted in (([0.0] * 4, 0.0), ([99.0, 99, 0, 0], 0.5), ([99.0, 0, 0, 0], 0.75)):
        bottleneck.project.bias.data = torch.tensor(bias)
        assert bottleneck(features()).losses["diversity"].item() == pytest.approx(wanted, abs=1e-5)


def test_padding_is_not_counted() -> None:
    mask = torch.arange(50) < torch.tensor([[10], [0], [50], [1]])
    result = made().eval()(features(), mask)
    assert result.stats["usage"].sum() == 61
    assert not result.units.transpose(1, 2)[~mask].any()


@pytest.mark.parametrize(
    "wrong", [{"size": 1}, {"temperature": {**FALLING, "end": 3.0}}, {"temperature": {**FALLING, "steps": 0}}]
)
def test_nonsense_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        OneHotBottleneck(**{"channels": 2, "dim": 1, "size": 3, "temperature": FALLING, **wrong})
