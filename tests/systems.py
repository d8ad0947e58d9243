"""Systems of the literature at a size for tests, by name of their experiment, and what holds for every one of them."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from voiceae.data.crops import Batch
from voiceae.io import modelfile
from voiceae.models import Autoencoder
from voiceae.nn.layers import lengths_to_mask
from voiceae.training.settings import compose

_ENCODER = ["channels=16", "hidden=16", "n_blocks=1"]
_DECODER = [*_ENCODER, "head_dim=8"]
_DEFAULT = [
    *(f"model.{part}.{size}" for part in ("content", "speaker") for size in _ENCODER),
    *(f"model.decoder.{size}" for size in _DECODER),
    "model.speaker.dim=8",
    "model.bottleneck.dim=8",
]
_RECOGNISER = [f"model.speaker.recogniser.{size}" for size in (*_ENCODER, "dim=8")]
_FROZEN = [f"model.speaker.encoder.{size}" for size in ("channels=24", "hidden=24", "n_blocks=1", "dim=16")]
_STACKED = [
    f"model.{part}.levels.{n}.{size}"
    for part in ("content", "decoder")
    for n in range(3)
    for size in _ENCODER
]
_STACKED += [f"model.speaker.{size}" for size in (*_ENCODER, "dim=8")] + ["model.bottleneck.dim=8"]
SMALL: dict[str, list[str]] = {
    "ae": _DEFAULT,
    "ae_binary": _DEFAULT,
    "ae_onehot": [*_DEFAULT, "model.bottleneck.size=16"],
    "ae_stacked": _STACKED,
    "gradient_reversal": [*_DEFAULT, "loss.channels=16"],
    "vae": _DEFAULT,
    "vae_decoupled": _DEFAULT,
    "vqvae": [*_DEFAULT, "model.bottleneck.size=16"],
    "adain_vc": _DEFAULT,
    "again_vc": ["model.content.channels=16", "model.content.hidden=16", "model.content.n_blocks=2"],
    "autovc": [
        *(f"model.{part}.{size}" for part in ("content", "decoder") for size in _ENCODER),
        *("model.content.neck=4", "model.content.rate=8", "model.bottleneck.channels=8"),
        *("model.bottleneck.dim=8", "model.decoder.recurrent=16", "model.decoder.post_channels=8"),
        *_FROZEN,
    ],
    "multitarget": [
        *(f"model.content.{size}" for size in _ENCODER),
        *(f"model.decoder.{part}.{size}" for part in ("decoder", "generator") for size in _DECODER),
        *("model.speaker.dim=8", "model.bottleneck.dim=8", "loss.channels=16"),
        *_RECOGNISER,
    ],
    "vqmivc": [*_DEFAULT, "model.bottleneck.size=16", "loss.hidden=16", "loss.prediction_steps=2"],
}
"""Overrides that make an experiment small; the frozen speaker is built as in `tests.tiny`."""
FRAMES = [*_DEFAULT, "model.timbre.dim=8", "model.timbre.hidden=16", "model.decoder.timbre_before=[0]"]
"""The same of an experiment whose decoder looks up frames of the reference."""

SPEAKERS = 3
LENGTHS = (1, 3, 9, 61, 96)


@cache
def _config(name: str) -> dict[str, Any]:
    return compose([f"experiment={name}", "data.store=STORE", *SMALL[name]])


def config(name: str) -> dict[str, Any]:
    """The small experiment, with a table of `SPEAKERS` voices where there is a table."""
    composed = copy.deepcopy(_config(name))
    if "n_speakers" in composed["model"]["speaker"]:
        composed["model"]["speaker"]["n_speakers"] = SPEAKERS
    return composed


def small_system(name: str) -> Autoencoder:
    """Random weights, the same ones each time."""
    torch.manual_seed(0)
    model: Autoencoder = modelfile.build(config(name)["model"])
    return model


def small_batch(items: int = 4, frames: int = 32) -> Batch:
    """Crops of three speakers, the first one padded."""
    mask = torch.ones(items, frames, dtype=torch.bool)
    mask[0, 20:] = False
    return Batch(
        mel=speechlike(items, frames) * mask[:, None],
        mask=mask,
        reference=speechlike(items, frames + 4),
        reference_mask=torch.ones(items, frames + 4, dtype=torch.bool),
        speaker=torch.arange(items) % SPEAKERS,
        index=torch.arange(items),
    )


def moved(module: nn.Module) -> set[str]:
    """Names of the parts, down to two levels, that the last `backward` reached."""
    reached = {
        name for name, weight in module.named_parameters() if weight.grad is not None and weight.grad.any()
    }
    return {".".join(name.split(".")[:2]) for name in reached}


def speechlike(items: int, frames: int) -> Tensor:
    """Normalised mels with structure in both directions: (items, 80, frames)."""
    generator = torch.Generator().manual_seed(frames)
    bins = torch.linspace(0, 6, 80)[None, :, None]
    time = torch.linspace(0, frames / 9, frames)[None, None]
    phase = 6 * torch.rand((items, 1, 1), generator=generator)
    noise = torch.randn((items, 80, frames), generator=generator)
    return torch.sin(bins + time + phase) + 0.5 * torch.cos(3 * bins - time) + 0.2 * noise


def require_padding_to_change_nothing(model: Autoencoder, atol: float = 1e-4) -> None:
    """A padded batch must give what each of its items gives alone, frame by frame, whatever lies in the padding."""
    mask = lengths_to_mask(torch.tensor(LENGTHS), LENGTHS[-1])
    mels = speechlike(len(LENGTHS), LENGTHS[-1])
    padded = torch.where(mask[:, None], mels, torch.tensor(123.0))
    model = model.eval()
    with torch.inference_mode():
        content, speaker = model.encode(padded, mask), model.embed(padded, mask)
        together = model.decode(content, speaker, mask=mask)
        for item, length in enumerate(LENGTHS):
            mel = mels[item : item + 1, :, :length]
            alone, voice = model.encode(mel), model.embed(mel)
            codes = -(-length // model.rate)
            assert alone.units.shape[-1] == codes
            for ours, theirs in (
                (content.units[item : item + 1, :, :codes], alone.units),
                (speaker[item : item + 1], voice),
                (together[item : item + 1, :, :length], model.decode(alone, voice)),
            ):
                torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)
    torch.testing.assert_close(speaker.norm(dim=-1), torch.ones(len(LENGTHS)))
