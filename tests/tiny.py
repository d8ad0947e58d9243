"""A model of a few thousand weights with every part of the real one, for tests of what surrounds a model."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from voiceae import modelfile
from voiceae.specs import AudioSpec

SPEC = AudioSpec()


def description(spec: AudioSpec = SPEC) -> dict[str, Any]:
    narrow = {"channels": 24, "hidden": 24, "n_blocks": 1}
    return {
        "_target_": "voiceae.models.Autoencoder",
        "n_mels": spec.n_mels,
        "content": {"_target_": "voiceae.models.ContentEncoder", "n_mels": spec.n_mels, **narrow},
        "bottleneck": {"_target_": "voiceae.models.Gaussian", "channels": 24, "dim": 8},
        "speaker": {"_target_": "voiceae.models.SpeakerEncoder", "n_mels": spec.n_mels, "dim": 16, **narrow},
        "pitch": {"_target_": "voiceae.models.MelPitch", "audio": spec.to_dict()},
        "decoder": {
            "_target_": "voiceae.models.Decoder",
            "dim": 8,
            "speaker_dim": 16,
            "n_mels": spec.n_mels,
            "pitch_bins": 104,
            "head_dim": 8,
            **narrow,
        },
    }


def write_model(path: Path, *, seed: int = 0, spec: AudioSpec = SPEC, **options: Any) -> Path:
    """Random weights, but statistics of speech, so that what comes out is about as loud as speech."""
    torch.manual_seed(seed)
    model = modelfile.build(description(spec)).eval()
    model.set_statistics(torch.full((spec.n_mels,), -4.0), torch.full((spec.n_mels,), 2.0))
    modelfile.save(path, model, kind="autoencoder", description=description(spec), spec=spec, **options)
    return path


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """The operating system refuses to make any file longer than `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
