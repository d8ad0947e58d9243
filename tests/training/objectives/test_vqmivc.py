"""VQMIVC's losses: estimators that learn from codes, codes that learn from estimators, each alone."""

from dataclasses import replace

import torch

from tests.systems import config, moved, small_batch, small_system, speechlike
from voiceae.training.objectives.vqmivc import VQMIVC, pitch_contour


def objective() -> VQMIVC:
    loss = {key: value for key, value in config("vqmivc")["loss"].items() if key != "_target_"}
    return VQMIVC(model=small_system("vqmivc"), **loss).train()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_every_loss_is_there_and_weighted():
    result = objective()(small_batch(), 0, generator())
    assert set(result.losses) == {"reconstruction", "cpc", "mutual_information", "commitment"}
    torch.testing.assert_close(
        result.losses["mutual_information"], 0.01 * result.stats["mutual_information_raw"]
    )
    torch.testing.assert_close(result.total.detach(), sum(result.losses.values()))


def test_the_estimators_learn_from_the_step_s_codes_and_teach_the_model_nothing_then():
    asked, batch = objective(), small_batch()
    result = asked(batch, 0, generator())
    assert not any(part.requires_grad for pair in result.for_adversary.values() for part in pair)
    before = asked.adversary_loss(batch, result)
    before.backward()
    assert {name.split(".")[0] for name in moved(asked)} == {"adversary"}
    optimizer = torch.optim.Adam(asked.adversary.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.step()
        optimizer.zero_grad()
        asked.adversary_loss(batch, result).backward()
    assert asked.adversary_loss(batch, result) < before - 0.5


def test_less_information_is_asked_of_content_and_of_the_voice():
    asked = objective()
    batch = small_batch()
    content = asked.model.encode(batch.mel, batch.mask, generator=generator())
    pairs = asked.pairs(content, asked.model.embed(batch.mel, batch.mask), batch.mask)
    for name, reached in (
        ("voice_content", {"content", "bottleneck", "speaker"}),
        ("pitch_content", {"content", "bottleneck"}),
        ("voice_pitch", {"speaker"}),
    ):
        asked.zero_grad()
        asked.adversary[name](*pairs[name]).backward(retain_graph=True)
        assert {part.split(".")[0] for part in moved(asked.model)} == reached


def test_a_contour_does_not_say_how_high_the_voice_is():
    """The same distributions three quarters of an octave higher, around a median that is as much higher."""
    model = small_system("vqmivc").eval()
    content = model.encode(speechlike(1, 40))
    pitch = torch.zeros(1, 104, 40)
    pitch[:, 40, :20], pitch[:, 49, 20:] = 1, 1
    centre = torch.tensor([40 / 36])
    low = replace(content, pitch=pitch, pitch_centre=centre)
    high = replace(content, pitch=pitch.roll(27, 1), pitch_centre=centre + 0.75)
    mask = torch.ones(1, 40, dtype=torch.bool)
    contour = pitch_contour(low, 36, mask, 2)
    assert contour.shape == (1, 20, 2)
    torch.testing.assert_close(contour, pitch_contour(high, 36, mask, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(contour[0, :, 1], torch.tensor([0.0] * 10 + [0.25] * 10), atol=1e-5, rtol=0)
    assert contour[0, :, 0].unique().tolist() == [1]


def test_a_contour_that_ends_within_a_code_frame_is_that_of_its_frames():
    content = small_system("vqmivc").eval().encode(speechlike(1, 8))
    pitch = torch.zeros(1, 104, 8)
    pitch[:, 45] = 1
    contour = pitch_contour(
        replace(content, pitch=pitch, pitch_centre=torch.tensor([1.0])), 36, torch.arange(8)[None] < 5, 2
    )
    assert contour[0, :, 0].tolist() == [1, 1, 1, 0]
    torch.testing.assert_close(contour[0, :3, 1], torch.full((3,), 0.25), atol=1e-5, rtol=0)
