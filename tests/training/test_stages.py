"""Stages: their places, what learns in them, and that a training killed within one goes on as if it had not been."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import Composer, run_script
from tests.training.test_run import KILLED, losses
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError
from voiceae.training.loop import Training
from voiceae.training.reporting import read_metrics
from voiceae.training.run import build_fabric, build_objective, fit
from voiceae.training.settings import Settings
from voiceae.training.stages import Plan, StageSettings, trained_names

FIRST = "{name: first, steps: 3, train: [decoder, speaker]}"
SECOND = "{name: second, steps: 4, freeze: [speaker, bottleneck], weights: {reconstruction: 0.5}, learning_rate: 0.01}"
THIRD = "{name: third, steps: 2}"
STAGES = f"trainer.stages=[{FIRST}, {SECOND}, {THIRD}]"


def stage(name: str = "a", steps: int = 3, **more: Any) -> StageSettings:
    return StageSettings(name=name, steps=steps, **more)


def test_steps_fall_into_their_stages() -> None:
    plan = Plan([stage("a", 3), stage("b", 4), stage("c", 2)], 9)
    assert [plan.at(step).name for step in range(10)] == list("aaabbbbccc")
    assert [(each.number, each.start, each.end) for each in plan] == [(0, 0, 3), (1, 3, 7), (2, 7, 9)]
    assert [step for step in range(10) if plan.begins_at(step)] == [3, 7]
    without = Plan([], 50)
    assert (without.at(49).name, without.at(49).end, without.has_stages) == ("", 50, False)


def test_plans_that_make_no_sense_are_refused(composed: Composer) -> None:
    with pytest.raises(ConfigError, match="two are named a"):
        Plan([stage(), stage()], 6)
    with pytest.raises(ConfigError, match=r"trainer\.max_steps=10: the stages end after 9 steps"):
        composed(STAGES, "trainer.max_steps=10")
    with pytest.raises(ConfigError, match=r"trainer\.stages\.0\.steps=0: must be above 0"):
        composed("trainer.stages=[{name: a, steps: 0}]")
    with pytest.raises(ConfigError, match="early_stopping_patience compares losses that stages change"):
        composed(STAGES, "trainer.early_stopping_patience=2")


def build(settings: Settings) -> Training:
    store = FeatureStore.open(settings.data.store)
    fabric = build_fabric(settings.trainer, has_unused_parameters=False)
    return Training(build_objective(settings, store)[0], store, settings, fabric)


def test_parts_are_named_as_the_model_or_the_objective_has_them(composed: Composer) -> None:
    objective, _ = build_objective(settings := composed(), FeatureStore.open(settings.data.store))
    every = {name for name, _ in objective.named_parameters()}
    assert trained_names(objective, stage()) == every
    assert trained_names(objective, stage(train=("log_scale",))) == {"log_scale"}
    deep = trained_names(objective, stage(train=("content.blocks.0", "model.decoder")))
    assert deep == {name for name in every if name.startswith(("model.content.blocks.0.", "model.decoder."))}
    most = trained_names(objective, stage(freeze=("content",)))
    assert every - most == {name for name in every if name.startswith("model.content.")}


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("train: [decodr]", r"b\.train: no part 'decodr' has weights; did you mean decoder\?"),
        ("freeze: [xyz]", r"b\.freeze: no part 'xyz' has weights; there are .*bottleneck, content, decoder"),
        ("weights: {nothing: 1}", "loss.weights has no nothing to be changed"),
        ("train: [bottleneck], freeze: [bottleneck]", "b: leaves nothing of the model to train"),
    ],
)
def test_a_slip_in_a_late_stage_is_told_before_the_first(composed: Composer, slip: str, message: str) -> None:
    settings = composed(f"trainer.stages=[{{name: a, steps: 50}}, {{name: b, steps: 50, {slip}}}]")
    with pytest.raises(ConfigError, match=message):
        build(settings)


def test_every_stage_trains_its_parts_with_fresh_optimisers(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, dict[str, Any]] = {}
    step = Training.train_step

    def watched(self: Training, *arguments: Any) -> None:
        before = {name: weight.detach().clone() for name, weight in self.objective.model.named_parameters()}
        step(self, *arguments)
        after = dict(self.objective.model.named_parameters())
        seen[self.step - 1] = {
            "moved": {
                name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])
            },
            "rate": self.learning_rate,
            "age": max(int(state["step"]) for state in self.model_optimizers[0].state.values()),
        }

    monkeypatch.setattr(Training, "train_step", watched)
    settings = composed(STAGES, "trainer.max_steps=9", "optim.warmup_steps=2", "optim.schedule=constant")
    module = fit(settings)
    assert [seen[number]["moved"] for number in (0, 3, 8)] == [
        {"decoder", "speaker"},
        {"content", "decoder"},
        {"content", "bottleneck", "speaker", "decoder"},
    ]
    rates = [seen[number]["rate"] for number in range(9)]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 5e-3, 1e-2, 1e-2, 1e-2, 5e-4, 1e-3])
    assert [seen[number]["age"] for number in range(9)] == [1, 2, 3, 1, 2, 3, 4, 1, 2]
    assert module.objective.stage == "third"
    lines = [line for line in read_metrics(settings.out / "metrics.jsonl") if "stage" in line]
    assert [(line["step"], line["stage"]) for line in lines] == [(2, 0), (4, 1), (6, 1), (8, 2), (9, 2)]
    half = next(line for line in lines if line["step"] == 6)
    assert half["reconstruction"] == pytest.approx(0.5 * half["reconstruction_raw"], rel=1e-5)


@pytest.mark.parametrize("killed_at", [5])
def test_a_training_killed_in_a_stage_goes_on_as_if_nothing_had_happened(
    composed: Composer, overrides: list[str], tmp_path: Path, killed_at: int
) -> None:
    # The checkpoint at 3 is the first stage's last, the one at 6 would lie in the middle of the second.
    more = [STAGES, "trainer.max_steps=9", "trainer.checkpoint_steps=3", "trainer.log_every=1"]
    whole = composed(*more, f"out={tmp_path / 'whole'}")
    fit(whole)
    killed = run_script(tmp_path / "killed.py", KILLED.format(step=killed_at), [*overrides, *more])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    middle = composed(*more, "trainer.resume=auto", "trainer.max_steps=6")
    assert torch.load(middle.checkpoints / "last.ckpt", weights_only=True)["step"] == 3
    assert fit(middle).step == 6
    module = fit(composed(*more, "trainer.resume=auto"))
    assert module.frames == 9 * 4 * 32
    assert losses_of_steps(middle) == pytest.approx(losses_of_steps(whole), abs=1e-6)


def test_the_averages_follow_a_new_stage_from_its_start(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early in a stage the averages forget fast: by (2 + n) / (11 + n) after its n-th step, not the run's."""
    step, kept = Training.train_step, []

    def watched(self: Training, *arguments: Any) -> None:
        before = [value.clone() for value in self.averages.values]
        step(self, *arguments)
        pairs = zip(before, self.averages.values, self.averages.weights, strict=True)
        # value = kept * before + (1 - kept) * weight, and so this, over all weights.
        moved, way = zip(*((now - old, new.detach() - old) for old, now, new in pairs), strict=True)
        share = sum((a * b).sum() for a, b in zip(moved, way, strict=True)) / sum(
            b.square().sum() for b in way
        )
        kept.append(1 - share.item())

    monkeypatch.setattr(Training, "train_step", watched)
    fit(composed(STAGES, "trainer.max_steps=9", "optim.warmup_steps=0", "trainer.validate_batches=0"))
    within = (0, 1, 2, 0, 1, 2, 3, 0, 1)
    assert kept == pytest.approx([(2 + number) / (11 + number) for number in within], abs=1e-3)


def losses_of_steps(settings: Settings) -> dict[tuple[float, str], float]:
    """Without validation, which a run that is stopped makes once more."""
    return {key: value for key, value in losses(settings).items() if not key[1].startswith("valid")}


def test_other_stages_than_a_checkpoint_has_are_refused(composed: Composer) -> None:
    fit(composed(STAGES, "trainer.max_steps=4", "trainer.validate_batches=0"))
    resumed = ["trainer.max_steps=5", "trainer.validate_batches=0", "trainer.resume=auto"]
    for other, what in (
        (STAGES.replace("name: second", "name: other"), "name second, trainer.stages has other at step 4"),
        (STAGES.replace("steps: 3", "steps: 2"), "start 3, trainer.stages has 2"),
        (STAGES.replace("[speaker, bottleneck]", "[speaker]"), r"freeze \['speaker', 'bottleneck'\], "),
    ):
        with pytest.raises(ConfigError, match=f"was trained in a stage with {what}"):
            fit(composed(other, *resumed))
    later = STAGES.replace("steps: 2}", "steps: 9}")
    assert fit(composed(later, *resumed)).step == 5
