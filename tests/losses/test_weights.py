"""Named losses and one dictionary of weights."""

import pytest
import torch

from voiceae.errors import ConfigError
from voiceae.losses import LossWeights


def test_total_is_the_weighted_sum_at_the_step():
    weights = LossWeights({"a": 2.0, "b": {"value": 1.0, "kind": "linear", "steps": 4}, "unused": 1.0})
    total, weighted = weights({"a": torch.tensor(3.0), "b": torch.tensor(8.0)}, step=1)
    assert total.item() == 8.0
    assert {name: value.item() for name, value in weighted.items()} == {"a": 6.0, "b": 2.0}


def test_an_unknown_name_fails():
    with pytest.raises(ConfigError, match="no weight for b; it has a"):
        LossWeights({"a": 1.0})({"b": torch.tensor(0.0)}, 0)


@pytest.mark.parametrize("value", [{"value": 1.0, "kind": "odd"}, {"values": 1.0}, "much"])
def test_a_bad_weight_is_a_config_error(value):
    with pytest.raises(ConfigError, match=r"loss\.weights"):
        LossWeights({"a": value})
