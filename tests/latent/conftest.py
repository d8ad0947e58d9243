"""Voices for the latent space: a tiny model of each kind of bottleneck, and clips that sound a little like speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import voiceae
from tests.tiny import SPEC, description
from voiceae.conversion.voice import Voice
from voiceae.io import audio as audio_io
from voiceae.io import modelfile
from voiceae.io.audio import Audio
from voiceae.latent.posterior import Posterior
from voiceae.latent.posterior_fitting import fit_posterior
from voiceae.latent.recordings import find_clips


@pytest.fixture(scope="session")
def vq_voice(tmp_path_factory: pytest.TempPathFactory) -> Voice:
    """A tiny model with 32 codes near where its own vectors lie."""
    torch.manual_seed(0)
    model = modelfile.build(description(bottleneck="vq")).eval()
    model.set_statistics(torch.full((SPEC.n_mels,), -4.0), torch.full((SPEC.n_mels,), 2.0))
    model.bottleneck.codebook.mul_(0.3)
    path = tmp_path_factory.mktemp("models") / "vq.safetensors"
    modelfile.save(path, model, kind="autoencoder", description=description(bottleneck="vq"), spec=SPEC)
    return voiceae.load(path, vocoder="griffinlim", device="cpu")


def tone(fundamental: float, rng: np.random.Generator, seconds: float = 1.0) -> Audio:
    """Harmonics that swell and fade, over a little noise."""
    time = np.arange(round(16000 * seconds)) / 16000
    wave = sum(np.sin(2 * np.pi * fundamental * k * time) / k for k in range(1, 10))
    wave = wave * (0.3 + 0.7 * np.abs(np.sin(7 * time + rng.random())))
    return Audio((0.1 * wave + 0.003 * rng.standard_normal(len(time))).astype(np.float32), 16000)


@pytest.fixture(scope="session")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten speakers with two clips each: `low` ones at 110 Hz, the others at 220."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    rows = ["speaker,gender,age"]
    for number in range(10):
        low = number % 2 == 1
        rows.append(f"s{number},{'m' if low else 'f'},{8 + number}")
        for clip in range(2):
            fundamental = (110 if low else 220) * (1 + 0.03 * rng.standard_normal())
            audio_io.write(folder / f"deep/s{number}/{clip}.wav", tone(fundamental, rng))
    (folder / "speakers.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def posterior(tiny_voice: Voice, speakers: Path) -> Posterior:
    """Fitted to these speakers with the tiny Gaussian model."""
    found, failures = fit_posterior(tiny_voice, find_clips(tiny_voice, speakers / "deep"), components=2)
    assert failures == []
    return found
