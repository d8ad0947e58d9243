"""The training step of every experiment on a GPU that is not there: nothing stays on the CPU or is waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import voiceae
from tests import tiny
from tests.fake_cuda import CUDA, backward, fake_cuda
from tests.golden import OneProcess
from tests.io.waves import harmonic
from tests.systems import FRAMES, SMALL
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore
from voiceae.data.waves import add_waves
from voiceae.training.loop import Training
from voiceae.training.run import build_objective
from voiceae.training.settings import Settings, compose

BUNDLED = Path(voiceae.__file__).parent / "assets" / "base.safetensors"
_VOCODER = ["model.channels=16", "model.hidden=32", "model.n_blocks=1"]
_VOCODER += ["model.pitch={channels: 16, hidden: 32, n_blocks: 1}"]
_JUDGES = ["loss.adversary.sizes=[512]", "loss.adversary.periods=[3]", "loss.adversary.channels=4"]
EXPERIMENTS = {
    **SMALL,
    "base": FRAMES,
    "base_gan": [*FRAMES, "loss.adversary.channels=8"],
    "speaker": FRAMES,
    "vocoder": _VOCODER,
    "vocoder_gan": [*_VOCODER, *_JUDGES, f"loss.finetune_on_reconstructions_of={BUNDLED}"],
}
"""Overrides by experiment."""
BOTH_PRECISIONS = {"base_gan", "vqvae", "vocoder_gan"}
"""One of every kind; the others are made of the same parts."""
LEFT_OUT = {"debug", "vctk", "vctk_mini"}
"""Sizes of others."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three voices of three utterances, with waves; some are shorter than a crop."""
    root = tmp_path_factory.mktemp("spoken")
    rng = np.random.default_rng(0)
    for speaker, f0 in enumerate((110.0, 170.0, 240.0)):
        for utterance in range(3):
            wav = np.concatenate([harmonic(f0 * step, 0.2 + 0.1 * utterance) for step in (1.0, 1.2, 0.9)])
            path = root / "corpus" / f"s{speaker}" / f"{utterance}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wav + 0.002 * rng.standard_normal(len(wav)), 22050)
    prepare("folder", root / "corpus", root / "store", jobs=1)
    add_waves(FeatureStore.open(root / "store"))
    return root / "store"


@pytest.fixture(scope="module")
def speaker_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("speaker") / "model.safetensors")


def built(name: str, store: Path, speaker_model: Path, *more: str) -> Training:
    overrides = [f"experiment={name}", f"data.store={store}", *EXPERIMENTS[name], "data.batch_size=4"]
    overrides += ["data.crop_frames=16", "data.reference_frames=16", "trainer.threads=1", *more]
    if name == "autovc":
        overrides.append(f"loss.speaker_from={speaker_model}")
    opened = FeatureStore.open(store)
    settings = Settings.read(compose(overrides)).for_speakers(len(opened.speakers))
    fabric: Any = OneProcess(CUDA, backward)
    return Training(build_objective(settings, opened)[0], opened, settings, fabric)


def on_gpu(module: Training) -> None:
    """What comes before the first step."""
    for part in filter(None, getattr(module.objective, "_autoencoder", ())):
        part.to("cuda")  # else at the first step
    module.start()


def train(module: Training) -> None:
    """A step of every stage under autocast, and of some kinds one in float32 and a validation."""
    starts = [(stage.start, True) for stage in module.plan]
    whole = [(1, False)] if module.settings.name in BOTH_PRECISIONS else []
    for step, half in starts + whole:
        module.step = step
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
            module.train_step()
    if not whole:
        return
    module.objective.eval()
    module.averages.swap()
    split, crops = next(iter(module.valid.items()))
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        module.validation_step(split, crops, 0)


def test_no_experiment_is_forgotten() -> None:
    there = {path.stem for path in Path("configs/experiment").glob("*.yaml")}
    assert there - LEFT_OUT == set(EXPERIMENTS)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_a_step_stays_on_the_gpu_and_never_waits(name: str, store: Path, speaker_model: Path) -> None:
    module = built(name, store, speaker_model)
    with fake_cuda() as watch:
        on_gpu(module)
        watch.waits.clear()
        train(module)
        assert not watch.waits
        moved = [weight for weight in module.objective.parameters() if weight.requires_grad]
        assert moved and all(weight.is_cuda for weight in moved)
        assert all(value.is_cuda for value in module.meter.sums.values())
