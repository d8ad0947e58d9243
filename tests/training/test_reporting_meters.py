from __future__ import annotations

import math

import pytest
import torch

from voiceae.training.reporting import RunningMeans, summarise


def test_means_are_those_of_the_window() -> None:
    meter = RunningMeans()
    for value in (1.0, 2.0, 6.0):
        meter.add({"a": torch.tensor(value), "v": torch.tensor([value, 0])})
    meter.add({"late": torch.tensor(5.0)})
    means = meter.means(lambda values: values)
    assert (means["a"], means["late"], means["v"].tolist()) == (3, 5, [3, 0])
    meter.clear()
    assert meter.means(lambda values: values) == {}


def test_what_is_added_is_not_kept_alive_or_changed() -> None:
    meter, value = RunningMeans(), torch.tensor(1.0, requires_grad=True)
    meter.add({"a": value})
    meter.add({"a": value})
    assert value.item() == 1
    assert not meter.sums["a"].requires_grad


def test_a_window_goes_on_after_a_checkpoint() -> None:
    meter, other = RunningMeans(), RunningMeans()
    meter.add({"a": torch.tensor(1.0)})
    other.load_state_dict(meter.state_dict(), torch.device("cpu"))
    other.add({"a": torch.tensor(2.0)})
    assert other.means(lambda values: values)["a"] == 1.5


def test_perplexity_is_that_of_the_whole_window() -> None:
    meter = RunningMeans()
    for code in range(8):  # one code a batch: every batch has perplexity 1, all of them together 8
        meter.add({"x/usage": torch.eye(8)[code] * 10, "x/perplexity": torch.tensor(1.0)})
    figures = summarise(meter.means(lambda values: values), codes_per_second=20.0)
    assert figures == {
        "x/perplexity": pytest.approx(8),
        "x/bits_per_frame": pytest.approx(3),
        "x/bits_per_second": pytest.approx(60),
    }


def test_dimensions_in_use_are_counted() -> None:
    figures = summarise({"kl_per_dim": torch.tensor([0.5, 0.001, 0.02]), "kl_raw": torch.tensor(0.521)}, 20.0)
    assert figures["kl_active_dims"] == 2
    assert math.isclose(figures["kl_raw"], 0.521, rel_tol=1e-6)
