"""Two stages: hide the speaker while a classifier seeks, then add detail while a discriminator judges."""

import math

import pytest
import torch

from tests.systems import config, moved, small_batch, small_system
from voiceae.training.objectives.multitarget import SECOND, MultiTarget


def objective(stage: str = "hide", **options: object) -> MultiTarget:
    loss = {key: value for key, value in config("multitarget")["loss"].items() if key != "_target_"}
    asked = MultiTarget(model=small_system("multitarget"), **{**loss, **options}).train()
    asked.stage = stage
    return asked


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_the_first_stage_reconstructs_with_the_speakers_own_rows():
    asked, batch = objective(), small_batch()
    result = asked(batch, 0, generator())
    torch.testing.assert_close(result.speaker, asked.table.lookup(batch.speaker).detach())
    content = asked.model.encode(batch.mel, batch.mask)
    given = asked.model.decode(content, asked.table.lookup(batch.speaker), mask=batch.mask)
    torch.testing.assert_close(result.mels["output"], given.detach())  # the generator adds nothing yet
    result.total.backward()
    assert "decoder.generator" not in moved(asked.model) and "decoder.gain" not in moved(asked.model)


def test_the_weight_of_the_confusion_rises_and_it_rewards_a_misled_classifier():
    asked, batch = objective(), small_batch()
    start, later = (asked(batch, step, generator()) for step in (0, 25_000))
    assert start.losses["speaker_confusion"] == 0
    top = config("multitarget")["loss"]["weights"]["speaker_confusion"]["value"]
    torch.testing.assert_close(
        later.losses["speaker_confusion"], 0.5 * top * later.stats["speaker_confusion_raw"]
    )
    assert -3 < later.stats["speaker_confusion_raw"] < 0


def test_confusion_is_not_driven_beyond_twice_a_guess():
    asked, batch = objective(), small_batch()
    with torch.no_grad():  # certain of the third speaker, whoever speaks
        asked.adversary["classifier"].leave.bias.copy_(torch.tensor([0.0, 0.0, 90.0]))
    result = asked(batch, 0, generator())
    torch.testing.assert_close(result.stats["speaker_confusion_raw"], torch.tensor(-2 * math.log(3)))


def test_the_classifier_seeks_the_speaker_in_the_codes_of_the_step():
    asked, batch = objective(), small_batch()
    result = asked(batch, 0, generator())
    asked.adversary_loss(batch, result).backward()
    assert moved(asked) == {"adversary.classifier"}


def test_the_second_stage_teaches_the_generator_alone_and_then_the_discriminator_alone():
    asked, batch = objective(SECOND), small_batch()
    torch.nn.init.constant_(asked.decoder.gain, 0.5)
    result = asked(batch, 0, generator())
    assert set(result.losses) == {"adversarial", "speaker_classification"}
    result.total.backward()
    assert moved(asked.model) == {"decoder.generator", "decoder.gain"}
    asked.zero_grad()
    asked.adversary_loss(batch, result).backward()
    assert moved(asked) == {"adversary.discriminator"}


def test_the_second_stage_speaks_in_drawn_voices():
    asked, batch = objective(SECOND), small_batch(items=30)
    drawn = asked(batch, 0, generator()).speaker
    rows = asked.table.lookup(torch.arange(3))
    index = (drawn[:, None] - rows).norm(dim=-1).argmin(-1)
    torch.testing.assert_close(drawn, rows[index].detach())
    assert set(index.tolist()) == {0, 1, 2} and index.tolist() != batch.speaker.tolist()


def test_validation_finds_its_rows_by_ear():
    asked, batch = objective().eval(), small_batch()
    result = asked(batch, 10**6, generator())
    wanted = asked.model.embed(batch.reference, batch.reference_mask)
    torch.testing.assert_close(result.speaker, wanted)
    assert set(result.losses) == {"reconstruction"}


def test_a_model_of_other_parts_is_refused():
    with pytest.raises(ValueError, match="model=multitarget"):
        MultiTarget(model=small_system("adain_vc"), weights={})
