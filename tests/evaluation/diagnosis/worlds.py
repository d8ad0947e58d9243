"""Invented speech in which it is known what is said and who says it, and tiny models trained on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voiceae.data.crops import CropSampler
from voiceae.data.shards import shard_path
from voiceae.data.store import COLUMNS, STATISTICS, STORE, TABLE, FeatureStore, Utterance
from voiceae.dsp.vocal_tract import VocalTractPerturbation
from voiceae.io import modelfile
from voiceae.models import Autoencoder
from voiceae.specs import AudioSpec
from voiceae.training.objectives.disentangling import Disentangling

SPEC = AudioSpec()
PHONES = 10


def spoken(phones: np.ndarray, scale: np.ndarray, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Log-mel of a phone a frame: three formants each, moved by the vocal tract, on a spectral tilt."""
    places = np.random.default_rng(7).uniform([4, 22, 45], [20, 42, 70], (PHONES, 3))
    bins = np.arange(SPEC.n_mels)
    shapes = np.exp(-0.5 * ((bins - (scale * places)[..., None]) / 3.0) ** 2).sum(1)
    smooth = np.stack([np.convolve(column, np.ones(3) / 3, "same") for column in shapes[phones].T], 1)
    return -7 + 5 * smooth - tilt * bins / SPEC.n_mels + 0.2 * rng.standard_normal(smooth.shape)


def write_store(root: Path, speakers: int = 24, clips: int = 20, spec: AudioSpec = SPEC) -> Path:
    """Clips of about a second of as many training speakers, and of four that are held out."""
    rng = np.random.default_rng(0)
    rows, mels = [], []
    for speaker in range(speakers + 4):
        scale, tilt = rng.uniform(0.75, 1.3, 3), rng.uniform(0, 4)
        for clip in range(clips):
            phones = np.repeat(rng.integers(PHONES, size=14), rng.integers(5, 11, size=14))
            rows.append((speaker, clip, len(phones)))
            mels.append(spoken(phones, scale, tilt, rng).astype(np.float16))
    frames = np.concatenate(mels)
    shard_path(root, 0).parent.mkdir(parents=True)
    np.save(shard_path(root, 0), frames)
    wide = frames.astype(np.float32)
    np.savez(root / STATISTICS, mean=wide.mean(0), std=wide.std(0))
    starts = np.cumsum([0] + [length for *_, length in rows])
    with (root / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for index, (speaker, clip, length) in enumerate(rows):
            row = Utterance(
                index=index,
                speaker=f"s{speaker:02d}",
                utterance=f"u{clip}",
                split="valid_speakers" if speaker >= speakers else "train",
                path="x.wav",
                shard=0,
                start=int(starts[index]),
                frames=length,
                seconds=length / spec.frame_rate,
            )
            writer.writerow({name: getattr(row, name) for name in COLUMNS})
    info = {
        "format": 1,
        "spec": spec.to_dict(),
        "shard_frames": [len(frames)],
        "utterances": len(rows),
        "corpus": "x",
    }
    (root / STORE).write_text(json.dumps(info))
    return root


def description(bottleneck: str, dim: int, **options: Any) -> dict[str, Any]:
    """A tiny autoencoder without a pitch stream."""
    size = {"channels": 32, "hidden": 64, "n_blocks": 2}
    target = "voiceae.models."
    return {
        "_target_": target + "Autoencoder",
        "n_mels": SPEC.n_mels,
        "content": {"_target_": target + "ContentEncoder", "n_mels": SPEC.n_mels, "kernel_size": 3, **size},
        "bottleneck": {"_target_": target + bottleneck, "channels": 32, "dim": dim, **options},
        "speaker": {"_target_": target + "SpeakerEncoder", "n_mels": SPEC.n_mels, "dim": 16, **size},
        "pitch": {"_target_": target + "NoPitch"},
        "decoder": {
            "_target_": target + "Decoder",
            "dim": dim,
            "speaker_dim": 16,
            "n_mels": SPEC.n_mels,
            "pitch_bins": 0,
            **size,
        },
    }


def build(bottleneck: str, dim: int, store: FeatureStore, **options: Any) -> Autoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = modelfile.build(description(bottleneck, dim, **options))
    assert isinstance(model, Autoencoder)
    model.set_statistics(torch.from_numpy(store.mean), torch.from_numpy(store.std))
    return model


def train(
    model: Autoencoder, store: FeatureStore, steps: int, kl: float = 0.0, perturbed_share: float = 0.0
) -> Autoencoder:
    """A few seconds of the real objective."""
    weights = {"reconstruction": 1.0, "speaker": 0.05, "kl": kl, "commitment": 0.25}
    objective = Disentangling(
        model=model,
        perturbation=VocalTractPerturbation(SPEC),
        weights=weights,
        perturbed_share=perturbed_share,
    ).train()
    crops = CropSampler(store, "train", batch_size=24, crop_frames=64, reference_frames=64, seed=0)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=4e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1, 0.05 + 2 * (1 - step / steps))
        total = objective(crops.batch(step), step, generator).total
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
    return model.eval().requires_grad_(False)
