"""Reconstruction from oneself: the losses of a batch, and who is listened to."""

import pytest
import torch

from tests.systems import config, small_batch, small_system
from voiceae.errors import ConfigError
from voiceae.nn.losses import reconstruction_loss
from voiceae.training.objectives.reconstruction import Reconstruction


def objective(name: str = "adain_vc", **options: object) -> Reconstruction:
    loss = {key: value for key, value in config(name)["loss"].items() if key != "_target_"}
    return Reconstruction(model=small_system(name), **{**loss, **options})


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_losses_are_what_they_are_called():
    asked, batch = objective(weights={"reconstruction": 2.0, "kl": 0.01}), small_batch()
    result = asked(batch, 0, generator())
    raw = reconstruction_loss(result.mels["output"], batch.mel, batch.mask, "l1")
    torch.testing.assert_close(result.losses["reconstruction"], 2 * raw)
    torch.testing.assert_close(result.losses["kl"], 0.01 * result.stats["kl_raw"])
    torch.testing.assert_close(result.total.detach(), sum(result.losses.values()))


def test_the_kl_of_adain_vc_rises_over_its_first_20_000_steps():
    weights = objective().weights.schedules["kl"]
    top = weights(10**6)
    assert [weights(step) / top for step in (0, 10_000, 20_000)] == [0, 0.5, 1]


@pytest.mark.parametrize(("reference", "heard"), [("own", "mel"), ("other", "reference")])
def test_the_reference_is_the_crop_itself_or_other_speech(reference: str, heard: str):
    asked, batch = objective(reference=reference), small_batch()
    mask = batch.mask if heard == "mel" else batch.reference_mask
    wanted = asked.model.embed(getattr(batch, heard), mask)
    torch.testing.assert_close(asked(batch, 0, generator()).speaker, wanted.detach())


def test_another_reference_is_refused():
    with pytest.raises(ConfigError, match=r"loss\.reference=mine: is not one of own, other"):
        objective(reference="mine")


@pytest.mark.parametrize("name", ["adain_vc", "again_vc"])
def test_every_weight_of_the_model_learns(name: str):
    asked = objective(name).train()
    asked(small_batch(), 10**5, generator()).total.backward()
    idle = [n for n, w in asked.model.named_parameters() if w.grad is None or not w.grad.any()]
    assert idle == []
