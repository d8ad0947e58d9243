"""Named losses and one dictionary of weights."""

import pytest
import torch

from voiceae.errors import ConfigError
from voiceae.nn.losses import LossWeights


def test_total_is_the_weighted_sum_at_the_step():
    weights = LossWeights({"a": 2.0, "b": {"value": 1.0, "kind": "linear", "steps": 4}, "unused": 1.0})
    total, weighted = weights({"a": torch.tensor(3.0), "b": torch.tensor(8.0)}, step=1)
    assert total.item() == 8.0
    assert {name: value.item() for name, value in weighted.items()} == {"a": 6.0, "b": 2.0}


def test_an_unknown_name_fails():
    with pytest.raises(ConfigError, match="no weight for b; it has a"):
        LossWeights({"a": 1.0})({"b": torch.tensor(0.0)}, 0)


@pytest.mark.parametrize(
    "value",
    [
        *({"value": 1.0, "kind": "odd"}, {"values": 1.0}, "much", None, True, [1.0]),
        *(-1.0, float("nan"), float("inf"), {"value": float("nan"), "kind": "linear", "steps": 3}),
    ],
)
def test_a_bad_weight_is_a_config_error(value):
    with pytest.raises(ConfigError, match=r"^loss\.weights\.a: [^\n]*$"):
        LossWeights({"a": value})


def test_weights_change_for_a_while_and_come_back():
    weights = LossWeights({"a": 1.0, "b": {"value": 2.0, "kind": "linear", "steps": 10}})
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}
    weights.change({"a": {"value": 4.0, "kind": "linear", "steps": 4}}, start=100)
    assert {name: value.item() for name, value in weights(losses, 102)[1].items()} == {"a": 2.0, "b": 2.0}
    weights.change({}, start=200)
    assert {name: value.item() for name, value in weights(losses, 5)[1].items()} == {"a": 1.0, "b": 1.0}
    with pytest.raises(ConfigError, match="no c to be changed; it has a, b"):
        weights.change({"c": 1.0}, start=0)
