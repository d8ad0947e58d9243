"""Foretelling: chance for units without order, certainty for units with one."""

import math

import pytest
import torch

from voiceae.nn.losses import CPCLoss


def walks(items: int, frames: int) -> torch.Tensor:
    """Units that go round a circle of 12 places, each from a place of its own: (B, 12, T')."""
    places = (torch.arange(items)[:, None] * 5 + torch.arange(frames)) % 12
    return 3 * torch.eye(12)[places].transpose(1, 2)


def train(module: CPCLoss, units: torch.Tensor, steps: int = 120) -> float:
    mask = torch.ones(units.shape[0], units.shape[-1], dtype=torch.bool)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = module(units, mask)
        loss.backward()
        optimizer.step()
    return loss.item()


def test_ordered_units_are_foretold_and_equal_ones_are_not() -> None:
    torch.manual_seed(0)
    assert train(CPCLoss(dim=12, hidden=16, prediction_steps=2), walks(8, 12)) < 0.1
    same = torch.ones(4, 12, 12)  # all alike: one is as good as another
    assert train(CPCLoss(dim=12, hidden=16, prediction_steps=2), same, 5) == pytest.approx(
        math.log(12), abs=1e-4
    )


def test_padding_is_neither_foretold_nor_a_choice() -> None:
    torch.manual_seed(0)
    module, units = CPCLoss(dim=12, hidden=8, prediction_steps=3), walks(1, 10)
    padded = torch.cat((units, torch.full((1, 12, 7), 9.0)), dim=-1)
    mask = torch.arange(17)[None] < 10
    torch.testing.assert_close(module(padded, mask), module(units, mask[:, :10]))


def test_too_few_units_cost_nothing() -> None:
    module = CPCLoss(dim=12, hidden=8, prediction_steps=3)
    assert module(walks(2, 1), torch.ones(2, 1, dtype=torch.bool)).item() == 0
    assert module(walks(2, 4), torch.zeros(2, 4, dtype=torch.bool)).item() == 0
    with pytest.raises(ValueError, match="prediction_steps 0"):
        CPCLoss(dim=4, prediction_steps=0)
