"""The two terms of the evidence lower bound: which parts they reach, when, and that they are what they say."""

import math

import pytest
import torch

from tests.systems import moved, small_batch, small_system
from voiceae.errors import ConfigError
from voiceae.training.objectives.variational import Variational

WEIGHTS = {"reconstruction": 1.0, "kl": 0.01}
ENCODER = {"content.enter", "content.blocks", "bottleneck.project"}
DECODER = {"decoder.enter_units", "decoder.blocks", "decoder.coarse"}


def made(**options) -> Variational:
    return Variational(
        model=small_system("vae"), weights=WEIGHTS, distance="l2", reference="other", **options
    )


def reached(objective: Variational, step: int = 0) -> set[str]:
    objective.zero_grad()
    result = objective.train()(small_batch(), step, torch.Generator().manual_seed(step))
    result.total.backward()
    return moved(objective.model)


def test_a_vae_trains_all_of_itself_in_every_step() -> None:
    assert reached(made()) >= ENCODER | DECODER | {"speaker.enter"}


def test_uncoupled_the_encoder_learns_from_the_kl_alone() -> None:
    objective = made(coupling=0.0)
    assert reached(objective) >= ENCODER | DECODER
    gradients = [weight.grad.clone() for weight in objective.model.content.parameters()]
    objective.zero_grad()
    batch = small_batch()
    content = objective.model.encode(batch.mel, batch.mask, generator=torch.Generator().manual_seed(0))
    (0.01 * content.bottlenecked.losses["kl"]).backward()
    for ours, weight in zip(gradients, objective.model.content.parameters(), strict=True):
        torch.testing.assert_close(ours, weight.grad)


@pytest.mark.parametrize(
    ("order", "by_step"),
    [
        ("tandem", {0: True, 1: False, 2: True, 3: False}),
        ("sequential", {0: True, 1: True, 2: False, 9: False}),
    ],
)
def test_the_terms_take_turns(order: str, by_step: dict[int, bool]) -> None:
    objective = made(coupling=0.0, order=order, steps=2)
    for step, encodes in by_step.items():
        parts = reached(objective, step)
        assert (parts & (ENCODER | DECODER)) == (ENCODER if encodes else DECODER)


def test_in_turns_a_coupled_reconstruction_reaches_the_encoder_too() -> None:
    assert reached(made(coupling=0.5, order="tandem"), 1) >= ENCODER | DECODER


def test_validation_hears_both_terms() -> None:
    objective = made(coupling=0.0, order="tandem").eval()
    with torch.no_grad():
        results = [objective(small_batch(), step, torch.Generator()) for step in (0, 1)]
    assert all({"kl", "reconstruction"} <= set(result.losses) for result in results)
    assert results[0].total == results[1].total


def test_the_likelihood_is_that_of_the_best_gaussian() -> None:
    objective, batch = made().eval(), small_batch()
    with torch.no_grad():
        result = objective(batch, 0, torch.Generator())
    wanted, given = result.mels["target"], result.mels["output"]
    error = (given - wanted).transpose(1, 2)[batch.mask]
    normal = torch.distributions.Normal(0.0, error.square().mean().sqrt())
    nats = normal.log_prob(error).sum() / (batch.mask.sum() / objective.model.rate)
    assert result.stats["log_likelihood"].item() == pytest.approx(nats.item(), rel=1e-4)
    assert result.stats["elbo"].item() == pytest.approx(
        nats.item() - result.losses["kl"].item() / WEIGHTS["kl"], rel=1e-4
    )
    assert math.isfinite(result.total.item())


def test_nonsense_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"loss\.order=backwards: is not one of together, tandem, sequential"
    ):
        made(order="backwards")
    with pytest.raises(ConfigError, match=r"loss\.coupling=2"):
        made(coupling=2.0)
    with pytest.raises(ValueError, match="needs model/bottleneck=gaussian, not a LinearBottleneck"):
        Variational(model=small_system("ae"), weights=WEIGHTS)
