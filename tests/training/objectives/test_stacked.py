"""Levels trained one by one: what each hears, what it gives back, and that no other learns."""

import pytest
import torch

from tests.systems import small_batch, small_system
from voiceae.models import DecoderInput
from voiceae.training.objectives.stacked import Stacked
from voiceae.training.stages import Stage, StageSettings


def made() -> Stacked:
    return Stacked(
        model=small_system("ae_stacked"), weights={"reconstruction": 1.0}, distance="l2", reference="other"
    )


def stage(**options) -> Stage:
    return Stage(StageSettings(name="s", steps=1, options=options))


def reached(objective: Stacked) -> set[str]:
    """Parts that a step reaches, levels told apart."""
    objective.zero_grad()
    objective.train()(small_batch(), 0, torch.Generator().manual_seed(0)).total.backward()
    names = {
        name
        for name, weight in objective.model.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }
    return {".".join(name.split(".")[: 3 if ".levels." in name else 1]) for name in names}


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_pair_learns_alone(level: int) -> None:
    objective = made()
    objective.enter(stage(level=level))
    wanted = {f"content.levels.{level}", f"decoder.levels.{level}", "speaker"}
    assert reached(objective) == wanted | ({"bottleneck"} if level == 2 else set())


def test_the_whole_learns_together() -> None:
    objective = made()
    objective.enter(stage())
    levels = {f"{part}.levels.{level}" for part in ("content", "decoder") for level in range(3)}
    assert reached(objective) == levels | {"speaker", "bottleneck"}


def test_an_inner_pair_is_to_give_back_the_codes_of_the_levels_outside() -> None:
    objective, batch = made().eval(), small_batch()
    objective.enter(stage(level=1))
    model = objective.model
    with torch.no_grad():
        loss = objective(batch, 0, torch.Generator()).losses["reconstruction"]
        masks = model.content.masks(batch.mask)
        outside = model.content.levels[0](model.normalise(batch.mel), masks[0])
        code = model.content.levels[1](outside, masks[1])
        speaker, nothing = model.embed(batch.reference, batch.reference_mask), outside[:, :0]
        given = model.decoder.levels[1](DecoderInput(code, speaker, nothing, nothing, masks[1]))
    error = (given - outside).square().transpose(1, 2)[masks[1]].mean()
    torch.testing.assert_close(loss, error)


def test_going_over_to_a_level_and_back_leaves_the_objective_as_it_was() -> None:
    objective, batch = made().eval(), small_batch()
    with torch.no_grad():
        before = objective(batch, 0, torch.Generator()).total
        objective.enter(stage(level=2))
        between = objective(batch, 0, torch.Generator()).total
        objective.enter(stage())
        assert objective(batch, 0, torch.Generator()).total == before != between


@pytest.mark.parametrize(
    ("options", "message"),
    [({"level": 3}, "levels 0 to 2"), ({"depth": 1}, "options depth: there is only level")],
)
def test_senseless_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made().enter(stage(**options))


def test_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the parts of model=stacked"):
        Stacked(model=small_system("ae"), weights={"reconstruction": 1.0})
