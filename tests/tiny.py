"""A model of a few thousand weights with every part of the real one, for tests of what surrounds a model."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from voiceae.io import modelfile
from voiceae.models import Autoencoder
from voiceae.specs import AudioSpec

SPEC = AudioSpec()
HANG_GUARD_SECONDS = 1200.0
"""Ends what hangs. Not a limit of time: a test that takes seconds on a quiet machine may take minutes on a busy one."""


BOTTLENECKS: dict[str, dict[str, Any]] = {
    "open": {"_target_": "voiceae.models.LinearBottleneck"},
    "gaussian": {"_target_": "voiceae.models.GaussianBottleneck"},
    "vq": {"_target_": "voiceae.models.VQ", "size": 32},
}
PITCH_BINS = 104


def description(
    spec: AudioSpec = SPEC, bottleneck: str = "gaussian", pitch: bool = True, timbre: bool = False
) -> dict[str, Any]:
    narrow = {"channels": 24, "hidden": 24, "n_blocks": 1}
    stream = {"_target_": "voiceae.models.MelPitch", "audio": spec.to_dict(), "n_bins": PITCH_BINS}
    tokens = {"_target_": "voiceae.models.TimbreEncoder", "n_mels": spec.n_mels, "channels": 24, "dim": 12}
    return {
        "_target_": "voiceae.models.Autoencoder",
        "n_mels": spec.n_mels,
        "timbre": tokens if timbre else {"_target_": "voiceae.models.NoTimbre"},
        "content": {"_target_": "voiceae.models.ContentEncoder", "n_mels": spec.n_mels, **narrow},
        "bottleneck": {"channels": 24, "dim": 8, **BOTTLENECKS[bottleneck]},
        "speaker": {"_target_": "voiceae.models.SpeakerEncoder", "n_mels": spec.n_mels, "dim": 16, **narrow},
        "pitch": stream if pitch else {"_target_": "voiceae.models.NoPitch"},
        "decoder": {
            "_target_": "voiceae.models.Decoder",
            "dim": 8,
            "speaker_dim": 16,
            "n_mels": spec.n_mels,
            "pitch_bins": PITCH_BINS if pitch else 0,
            "head_dim": 8,
            "timbre_dim": 12 if timbre else 0,
            "timbre_before": [0],
            **narrow,
        },
    }


def small_model(bottleneck: str = "gaussian", pitch: bool = True, timbre: bool = False) -> Autoencoder:
    return _build(description(bottleneck=bottleneck, pitch=pitch, timbre=timbre))


def _build(described: dict[str, Any]) -> Autoencoder:
    model: Autoencoder = modelfile.build(described)
    for lookup in model.decoder.lookups.values():  # they begin at zero, at which no test would miss them
        torch.nn.init.normal_(lookup.leave.weight, std=0.3)
    return model


def write_model(
    path: Path, *, seed: int = 0, spec: AudioSpec = SPEC, timbre: bool = False, **options: Any
) -> Path:
    """Random weights, but statistics of speech, so that what comes out is about as loud as speech."""
    torch.manual_seed(seed)
    described = description(spec, timbre=timbre)
    model = _build(described).eval()
    model.set_statistics(torch.full((spec.n_mels,), -4.0), torch.full((spec.n_mels,), 2.0))
    modelfile.save(path, model, kind="autoencoder", description=described, spec=spec, **options)
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
