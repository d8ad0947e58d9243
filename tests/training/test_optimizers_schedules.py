from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.training.conftest import Composer
from voiceae.training.optimizers import averaging_decay, learning_rate_factor, noise_seed
from voiceae.training.settings import OptimSettings


@pytest.fixture
def optim(composed: Composer) -> OptimSettings:
    return replace(composed().optim, warmup_steps=10, final_fraction=0.1)


def test_warm_up_is_linear_and_reaches_one(optim: OptimSettings) -> None:
    constant = replace(optim, schedule="constant")
    assert [learning_rate_factor(step, 100, constant) for step in (0, 4, 9, 10, 99)] == [0.1, 0.5, 1, 1, 1]


@pytest.mark.parametrize(
    ("schedule", "quarter"), [("linear", 0.775), ("cosine", 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)]
)
def test_fall_follows_its_closed_form(optim: OptimSettings, schedule: str, quarter: float) -> None:
    optim = replace(optim, schedule=schedule)
    factors = [learning_rate_factor(step, 110, optim) for step in (10, 35, 60, 110, 500)]
    assert factors == pytest.approx([1, quarter, 0.55, 0.1, 0.1])


def test_short_runs_have_a_schedule_too(optim: OptimSettings) -> None:
    factors = [learning_rate_factor(step, 2, optim) for step in range(3)]
    assert all(0 < factor <= 1 for factor in factors)
    assert learning_rate_factor(0, 1, replace(optim, warmup_steps=0, schedule="constant")) == 1


def test_averaging_decay_grows_to_its_limit() -> None:
    decays = [averaging_decay(step, 0.999) for step in range(20_000)]
    assert decays[0] == pytest.approx(2 / 11)
    assert decays == sorted(decays)
    assert decays[-1] == 0.999


def test_noise_differs_for_every_step_rank_and_purpose() -> None:
    seeds = {
        noise_seed(seed, step, rank, purpose)
        for seed in (0, 1)
        for step in range(50)
        for rank in (0, 1)
        for purpose in ("train", "valid")
    }
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert noise_seed(3, 5, 1) == noise_seed(3, 5, 1)
