"""Every objective's numbers over three steps, as they were recorded, and that they move when it is wired wrongly.

After a change that is meant to move them:

    RECORD_GOLDEN=1 python -m pytest tests/training/test_golden.py
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import golden
from tests.systems import FRAMES, SMALL
from tests.tiny import SPEC, description
from voiceae.io import modelfile
from voiceae.models import Autoencoder, Content
from voiceae.models.autovc import AutoVCEncoder
from voiceae.training.objectives.disentangling import Disentangling, GradientReversal
from voiceae.training.objectives.multitarget import MultiTarget
from voiceae.training.objectives.reconstruction import Reconstruction
from voiceae.training.objectives.speaker import SpeakerTraining
from voiceae.training.objectives.stacked import Stacked
from voiceae.training.objectives.variational import Variational
from voiceae.training.objectives.vocoder import VocoderObjective
from voiceae.training.settings import Settings, compose, config_dir

TOLERANCE = 1e-3
# Processors of two makers round alike up to here; what two networks make of each other in three steps differs by more.
TOLERANCES = {"vocoder_gan": 4e-3}
RECORD = "RECORD_GOLDEN" in os.environ
FOLDER = Path(__file__).with_name("golden")
SHARED = [
    *("trainer.precision=fp32", "trainer.accelerator=cpu", "trainer.max_steps=6", "trainer.ema_decay=0.9"),
    *("optim.warmup_steps=2", "optim.learning_rate=2e-3", "optim.adversary_learning_rate=1e-3"),
    "optim.epsilon=1e-4",  # weights whose gradient is rounding noise are to stay where they are
]
DISCRIMINATOR = ["loss.adversary.channels=8"]
VOCODER = [
    *("model.channels=16", "model.hidden=32", "model.n_blocks=1"),
    "model.pitch={channels: 16, hidden: 32, n_blocks: 1}",
    "optim.learning_rate=2e-4",  # its losses are rougher: fast steps would make much of a rounding bit
]
JUDGES = ["loss.adversary.sizes=[512]", "loss.adversary.periods=[3]", "loss.adversary.channels=4"]
RISE = "loss.weights.kl={value: 0.01, kind: linear, steps: 4}"
TABLE = [*SMALL["multitarget"], "trainer.stages.0.steps=2", "trainer.stages.1.steps=4"]
LEVELS = [
    *SMALL["ae_stacked"],
    *(f"trainer.stages.{number}.steps={3 if number == 3 else 1}" for number in range(4)),
]

CASES: dict[str, list[str]] = {
    "base": FRAMES,
    "base_gan": [*FRAMES, *DISCRIMINATOR],
    "speaker": FRAMES,
    **{name: SMALL[name] for name in ("ae", "ae_binary", "ae_onehot", "vae", "vae_decoupled", "again_vc")},
    "vae_tandem": [*SMALL["vae"], "loss.order=tandem"],
    "ae_stacked": LEVELS,
    "adain_vc": [*SMALL["adain_vc"], RISE],
    "autovc": [*SMALL["autovc"], "loss.speaker_from=FROM"],
    "gradient_reversal": SMALL["gradient_reversal"],
    "multitarget": TABLE,
    "vqvae": SMALL["vqvae"],
    "vqmivc": SMALL["vqmivc"],
    "vocoder": VOCODER,
    "vocoder_gan": [*VOCODER, *JUDGES, "loss.finetune_on_reconstructions_of=FROM"],
}
"""Overrides that make an experiment small, by its name or a name of one of its variants."""
SAME_LOSSES = {"debug", "vctk", "vctk_mini"}
# Two steps of each stage, one of each, and as many as show that the discriminator was told of the wrong voice.
STEPS = {"multitarget": 4, "ae_stacked": 4, "base_gan": 4}


@cache
def composed(case: str) -> dict[str, Any]:
    experiment = "vae" if case == "vae_tandem" else case
    return compose([f"experiment={experiment}", *SHARED, *CASES[case], "data.store=STORE", f"name={case}"])


def settings_of(case: str, store: Path, folder: Path) -> Settings:
    config = copy.deepcopy(composed(case))
    config["data"]["store"], config["out"] = str(store), str(folder / "run")
    for key in [key for key, value in config["loss"].items() if value == "FROM"]:
        config["loss"][key] = str(given_model(folder / "given.safetensors"))
    return Settings.read(config)


def given_model(path: Path) -> Path:
    """A model that was trained before, of numpy's numbers too."""
    with golden.numpy_chance("given"):
        model = modelfile.build(description())
    golden.set_weights(model, "given")
    model.set_statistics(torch.full((SPEC.n_mels,), -4.0), torch.full((SPEC.n_mels,), 2.0))
    modelfile.save(path, model, kind="autoencoder", description=description(), spec=SPEC)
    return path


def figures_of(case: str, store: Path, folder: Path) -> dict[str, float]:
    made: Callable[..., Any] = golden.wave_batch if case.startswith("vocoder") else golden.batch
    return golden.steps(settings_of(case, store, folder), STEPS.get(case, 3), made)


def recorded(case: str) -> dict[str, float]:
    return json.loads((FOLDER / f"{case}.json").read_text())


def test_every_experiment_has_its_numbers() -> None:
    experiments = {path.stem for path in (config_dir() / "experiment").glob("*.yaml")}
    assert experiments - SAME_LOSSES == set(CASES) - {"vae_tandem"}
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_what_they_were(case: str, store: Path, tmp_path: Path) -> None:
    figures = figures_of(case, store, tmp_path)
    if RECORD:
        rounded = {name: float(f"{value:.7g}") for name, value in figures.items()}
        (FOLDER / f"{case}.json").write_text(json.dumps(rounded, indent=0) + "\n")
    distance, name = golden.worst(figures, recorded(case))
    assert distance < TOLERANCES.get(case, TOLERANCE), (
        f"{name}: {figures.get(name)}, recorded {recorded(case).get(name)}"
    )


# Wrong wiring of each objective, as a slip of the pen would make it: what to put in place of what.


def reference_in_the_other_voice(self: Disentangling, batch: Any, generator: Any) -> tuple[Tensor, ...]:
    voice, other = (
        self.perturbation.draw(len(batch.mel), generator, share=self.perturbed_share) for _ in range(2)
    )
    return (
        self.perturbation(batch.mel, voice),
        self.perturbation(batch.reference, other),
        self.perturbation(batch.mel, other),
    )


def other_reference(self: Reconstruction, batch: Any) -> Tensor:
    if self.reference == "own":
        return self.model.embed(batch.reference, batch.reference_mask)
    return self.model.embed(batch.mel, batch.mask)


def detached(self: Variational, content: Content) -> Content:
    units = content.units.detach()
    return replace(content, bottlenecked=replace(content.bottlenecked, units=units))


_embed, _hide, _listen = Autoencoder.embed, MultiTarget.hide, AutoVCEncoder.forward
_adversary_loss, _given_back = Disentangling.adversary_loss, Stacked.give_back
_reversed = GradientReversal.extra_losses
_pitch_loss, _judged = VocoderObjective._pitch_loss, VocoderObjective.adversary_loss

MUTANTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "base": (Disentangling, "_perturb_voices", reference_in_the_other_voice),
    "base_gan": (
        Disentangling,
        "adversary_loss",
        lambda self, batch, result: _adversary_loss(
            self, batch, replace(result, speaker=result.speaker.roll(1, 0))
        ),
    ),
    "speaker": (SpeakerTraining, "_through_channel", lambda self, mel, generator: mel),
    **{
        case: (Reconstruction, "speaker_embedding", other_reference)
        for case in ("ae", "ae_binary", "ae_onehot", "adain_vc", "vqvae", "vqmivc")
    },
    "again_vc": (Autoencoder, "embed", lambda self, mel, mask=None: _embed(self, mel, mask).roll(1, 0)),
    "vae": (Variational, "coupled", detached),
    "vae_decoupled": (Variational, "coupled", lambda self, content: content),
    "vae_tandem": (Variational, "coupled", detached),
    "ae_stacked": (
        Stacked,
        "give_back",
        lambda self, level, code, batch, frames, mask: _given_back(
            self, level, code.roll(1, 0), batch, frames, mask
        ),
    ),
    "autovc": (
        AutoVCEncoder,
        "forward",
        lambda self, mel, mask=None, speaker=None: _listen(
            self, mel, mask, None if speaker is None else speaker.roll(1, 0)
        ),
    ),
    "gradient_reversal": (
        GradientReversal,
        "extra_losses",
        lambda self, batch, content, step: _reversed(
            self, replace(batch, speaker=batch.speaker.roll(1, 0)), content, step
        ),
    ),
    "multitarget": (
        MultiTarget,
        "hide",
        lambda self, batch, step, generator: _hide(
            self, replace(batch, reference=batch.reference.roll(1, 0)), step, generator
        ),
    ),
    "vocoder": (
        VocoderObjective,
        "_pitch_loss",
        lambda self, logits, batch: _pitch_loss(self, logits, replace(batch, wav=batch.wav.roll(1, 0))),
    ),
    "vocoder_gan": (
        VocoderObjective,
        "adversary_loss",
        lambda self, batch, result: _judged(self, batch, replace(result, waves={"output": batch.wav})),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_wiring_moves_them_by_ten_times_the_tolerance(
    case: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, slip = MUTANTS[case]
    monkeypatch.setattr(owner, name, slip)
    distance, _ = golden.worst(figures_of(case, store, tmp_path), recorded(case))
    assert 10 * TOLERANCES.get(case, TOLERANCE) < distance < float("inf")
