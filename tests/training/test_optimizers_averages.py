from __future__ import annotations

import pytest
import torch
from torch import nn

from voiceae.training.optimizers import Averages, averaging_decay


def test_average_is_the_weighted_sum_of_what_was() -> None:
    layer = nn.Linear(1, 1, bias=False)
    averages = Averages(layer, decay=0.9)
    history = [layer.weight.item()]
    for step in range(30):
        nn.init.constant_(layer.weight, float(step))
        averages.update(step)
        history.append(float(step))
    decays = torch.tensor([averaging_decay(step, 0.9) for step in range(30)])
    # What is kept, up to the end, of what was there before each update.
    kept = torch.cat([decays.flip(0).cumprod(0).flip(0), torch.ones(1)])
    weights = torch.cat([kept[:1], (1 - decays) * kept[1:]])
    assert averages.values[0].item() == pytest.approx(
        (weights * torch.tensor(history)).sum().item(), rel=1e-5
    )


def test_own_weights_come_back_bit_for_bit() -> None:
    layer = nn.Linear(5, 5)
    averages = Averages(layer, decay=0.9)
    nn.init.normal_(layer.weight)
    own, address = layer.weight.clone(), layer.weight.data_ptr()
    averages.update(5)
    averaged = averages.values[0].clone()
    with averages.in_place():
        assert torch.equal(layer.weight, averaged)
        assert layer.weight.data_ptr() == address  # optimisers hold on to it
    assert torch.equal(layer.weight, own)
    assert torch.equal(averages.values[0], averaged)
    assert not torch.equal(own, averaged)


def test_averages_of_a_checkpoint_are_taken_over() -> None:
    averages = Averages(nn.Linear(2, 2), decay=0.9)
    averages.load([torch.ones(2, 2), torch.zeros(2)])
    assert averages.values[0].sum() == 4
