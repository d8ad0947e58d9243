"""The reversed classifier: who learns to tell, who learns to hide, and that hiding works."""

import pytest
import torch
from torch.nn import functional

from tests.systems import SPEAKERS, small_batch, small_system
from voiceae.dsp.vocal_tract import VocalTractPerturbation
from voiceae.errors import ConfigError
from voiceae.nn.layers import downsample_mask
from voiceae.specs import AudioSpec
from voiceae.training.objectives.disentangling import GradientReversal

WEIGHTS = {"reconstruction": 0.0, "speaker": 0.0, "kl": 0.0, "speaker_classification": 1.0}


def made(**options) -> GradientReversal:
    torch.manual_seed(0)
    perturbation = VocalTractPerturbation(AudioSpec(), max_octaves=0.3, max_gain_db=4.0, control_points=7)
    settings = {
        "weights": WEIGHTS,
        "perturbed_share": 0.0,
        "channels": 16,
        "reversal_strength": 1.0,
        **options,
    }
    return GradientReversal(
        model=small_system("gradient_reversal"), perturbation=perturbation, n_speakers=SPEAKERS, **settings
    )


def gradients(objective: GradientReversal, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    objective.zero_grad()
    objective.train()(small_batch(), step, torch.Generator().manual_seed(0)).total.backward()
    encoder = objective.model.bottleneck.project.weight.grad
    classifier = objective.classifier.leave.weight.grad
    assert encoder is not None and classifier is not None
    return encoder.clone(), classifier.clone()


def test_the_encoder_gets_the_gradient_reversed_and_the_classifier_as_it_is() -> None:
    schedule = {"value": 2.0, "kind": "linear", "steps": 10}
    hidden, told = gradients(made(reversal_strength=schedule), 5)
    wanted, also_told = gradients(made(reversal_strength=-1.0), 5)  # reversed twice is not reversed
    torch.testing.assert_close(hidden, -wanted)
    torch.testing.assert_close(told, also_told)
    assert wanted.abs().sum() > 0
    stronger, _ = gradients(made(reversal_strength=schedule), 10)
    torch.testing.assert_close(stronger, -2 * wanted)


def test_the_loss_is_the_classifiers_and_no_part_of_validation() -> None:
    objective, batch = made(), small_batch()
    result = objective.train()(batch, 5, torch.Generator().manual_seed(0))
    heard = objective._perturb_voices(batch, torch.Generator().manual_seed(0))[2]
    torch.testing.assert_close(heard, batch.mel, atol=2e-3, rtol=1e-3)
    assert 0.5 < result.losses["speaker_classification"].item() < 2.5  # guessing one of three gives 1.1
    assert "speaker_classification" not in objective.eval()(batch, 5, torch.Generator()).losses


def test_a_classifier_left_to_itself_finds_the_speaker_and_a_hidden_one_does_not() -> None:
    """Three invented speakers whose crops always differ: the reversed gradient makes the units alike."""

    def loss_after(reversal_strength: float) -> float:
        objective, batch = made(reversal_strength=reversal_strength), small_batch(6)
        optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
        for step in range(40):
            optimizer.zero_grad()
            objective.train()(batch, step, torch.Generator().manual_seed(step)).total.backward()
            optimizer.step()
        model = objective.eval().model
        with torch.no_grad():
            units = model.encode(batch.mel, batch.mask).units
            told = objective.classifier(units, downsample_mask(batch.mask, model.rate))
        return functional.cross_entropy(told, batch.speaker).item()

    assert loss_after(0.0) < 0.3
    assert loss_after(3.0) > 0.7


def test_a_schedule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.reversal_strength: schedule 'linear' needs steps"):
        made(reversal_strength={"value": 1.0, "kind": "linear"})
