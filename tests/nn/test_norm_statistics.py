from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from voiceae.dsp.statistics import masked_moments
from voiceae.nn.norm import (
    AdaptiveInstanceNorm,
    FixedStatistics,
    InstanceNorm,
    RecordedStatistics,
    RunningStatistics,
    StreamWindow,
    instance_norms,
    recorded_statistics,
    with_norm_statistics,
)

EPS = 1e-5


def features(frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(1, frames, 5, generator=generator) + torch.arange(5)


def test_what_is_recorded_can_be_held() -> None:
    whole = features(100)
    norm = InstanceNorm()
    norm.moments = RecordedStatistics()
    expected = norm(whole)
    torch.testing.assert_close(expected, InstanceNorm()(whole), atol=0, rtol=0)
    assert norm.moments.recorded is not None
    norm.moments = FixedStatistics(norm.moments.recorded)
    torch.testing.assert_close(norm(whole[:, 40:60]), expected[:, 40:60], atol=0, rtol=0)


def test_a_copy_shares_weights_and_leaves_the_model_alone() -> None:
    model = nn.ModuleList((AdaptiveInstanceNorm(5, 3), InstanceNorm(), nn.Linear(5, 5)))
    twin = with_norm_statistics(model, lambda _: RecordedStatistics())
    assert {id(weight) for weight in twin.parameters()} == {id(weight) for weight in model.parameters()}
    assert (
        all(isinstance(norm.moments, RecordedStatistics) for norm in instance_norms(twin))
        and len(instance_norms(twin)) == 2
    )
    assert all(norm.moments is masked_moments for norm in instance_norms(model))
    twin[1](features(10))
    kept = recorded_statistics(twin)
    assert kept[0] is None and kept[1] is not None
    assert model.state_dict().keys() == twin.state_dict().keys()


def test_running_moments_are_those_of_all_that_was_counted() -> None:
    whole, clock = features(200), StreamWindow()
    running = RunningStatistics(clock, 1e9)
    clock.frames, clock.new_frames = 10, 1
    for stop in range(20, 201, 2):  # windows of 10 code frames of 2, one of them new
        mean, deviation = running(whole[:, stop - 20 : stop], None, EPS)
    expected = masked_moments(whole[:, 18:], None, EPS)
    torch.testing.assert_close(mean, expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(deviation, expected[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("per_code", [1, 3])
def test_groups_are_put_together_as_published(per_code: int) -> None:
    """The formula of Chan, Golub and LeVeque in float64, with the forgetting of old frames."""
    whole, memory, clock = features(60 * per_code), 25.0, StreamWindow()
    clock.frames, clock.new_frames = 2, 1
    start = masked_moments(features(50, seed=1), None, EPS)
    running = RunningStatistics(clock, memory, start, 20.0)
    mean, variance, count = start[0].double(), start[1].double().square(), 20.0
    for stop in range(2 * per_code, len(whole[0]) + 1, per_code):
        ours = running(whole[:, stop - 2 * per_code : stop], None, EPS)
        new = whole[:, stop - per_code : stop].double()
        share = 1 / (count + 1)
        step = new.mean(1, keepdim=True) - mean
        variance = (1 - share) * variance + share * (new.var(1, correction=0, keepdim=True) + EPS)
        variance += share * (1 - share) * step.square()
        mean, count = mean + share * step, min(count + 1, memory)
        torch.testing.assert_close(ours[0].double(), mean, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(ours[1].double(), variance.sqrt(), atol=1e-6, rtol=1e-5)


def test_what_does_not_count_changes_nothing() -> None:
    clock = StreamWindow()
    running = RunningStatistics(clock, 100, masked_moments(features(50), None, EPS), 50)
    clock.frames, clock.new_frames = 10, 0
    for seed in (1, 2):
        mean, _ = running(features(10, seed), None, EPS)
        torch.testing.assert_close(mean, masked_moments(features(50), None, EPS)[0])
    clock.new_frames = 5
    changed, _ = running(features(10, 3), None, EPS)
    assert not torch.allclose(changed, mean)


def test_old_frames_are_forgotten() -> None:
    clock = StreamWindow()
    running = RunningStatistics(clock, 20)
    clock.frames = clock.new_frames = 1
    for value in [0.0] * 100 + [1.0] * 100:
        mean, _ = running(torch.full((1, 1, 1), value), None, EPS)
    assert 0.98 < float(mean) < 1


def test_a_few_frames_do_not_explode() -> None:
    clock = StreamWindow()
    norm = InstanceNorm()
    norm.moments = RunningStatistics(clock, 200)
    for frames in range(1, 30):
        clock.frames, clock.new_frames = frames, 1
        assert norm(features(frames)).abs().max() < 8
