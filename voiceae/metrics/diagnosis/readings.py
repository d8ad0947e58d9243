"""What a model makes of clips: codes, posteriors and speaker vectors, read once for all areas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from voiceae.metrics.diagnosis.clips import Clips
from voiceae.models import Autoencoder, Gaussian
from voiceae.nn.masking import coarser_mask

BATCH = 32

Watch = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Hands the items on and shows how far it is: items, their number, what is done."""


@dataclass(frozen=True)
class Readings:
    """Of all clips, time-major.

    Attributes:
        units: (U, T', D) what the decoder is given.
        mask: (U, T') code frames that count.
        log_variance: (U, T', D) of a Gaussian posterior whose mean is `units`.
        codes: (U, T') of a discrete bottleneck.
        speaker: (U, S).
        mel: (U, T', M) log-mel averaged to the rate of the codes.
    """

    units: Tensor
    mask: Tensor
    log_variance: Tensor | None
    codes: Tensor | None
    speaker: Tensor
    mel: Tensor

    def frames(self, values: Tensor) -> Tensor:
        """Only what counts: (U, T', X) -> (n, X)."""
        return values[self.mask]


@torch.inference_mode()
def read(model: Autoencoder, clips: Clips, watch: Watch) -> Readings:
    """Encode and embed every clip."""
    parts = [_read_batch(model, clips, rows) for rows in _batches(clips, watch)]
    columns = zip(*parts, strict=True)
    units, mask, log_variance, codes, speaker, mel = (
        None if column[0] is None else torch.cat(column) for column in columns
    )
    assert units is not None and mask is not None and speaker is not None and mel is not None
    return Readings(units, mask, log_variance, codes, speaker, mel)


@torch.inference_mode()
def embed(model: Autoencoder, clips: Clips, watch: Watch) -> Tensor:
    """Speaker vectors only: -> (U, S)."""
    return torch.cat([model.embed(*batch(clips, rows)) for rows in _batches(clips, watch)])


def batch(clips: Clips, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Some clips as a model takes them: (n,) -> (n, M, T) float32, (n, T)."""
    return clips.mel[rows].float().transpose(1, 2), clips.mask[rows]


def pooled_statistics(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean, log deviation and log deviation of first differences: (U, T, X), (U, T) -> (U, 3 X)."""
    steps, both = frames.diff(dim=1), mask[:, 1:] & mask[:, :-1]
    mean, deviation = _moments(frames, mask)
    return torch.cat([mean, deviation.log(), _moments(steps, both)[1].log()], dim=-1)


def _moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    weight = mask[..., None].to(x.dtype)
    count = weight.sum(1).clamp_min(1)
    mean = (x * weight).sum(1) / count
    variance = ((x - mean[:, None]).square() * weight).sum(1) / count
    return mean, (variance + 1e-6).sqrt()


def _batches(clips: Clips, watch: Watch) -> Iterable[Tensor]:
    rows = torch.arange(len(clips.mel)).split(BATCH)
    return watch(rows, len(rows), "listening")


def _read_batch(model: Autoencoder, clips: Clips, rows: Tensor) -> tuple[Tensor | None, ...]:
    mel, mask = batch(clips, rows)
    coarse = coarser_mask(mask, model.rate)
    features = model.content(model.normalise(mel), mask)
    passed = model.bottleneck(features, coarse)
    spread = model.bottleneck.posterior(features)[1] if isinstance(model.bottleneck, Gaussian) else None
    slow = _slower(mel, mask, model.rate)
    return passed.units.transpose(1, 2), coarse, spread, passed.codes, model.embed(mel, mask), slow


def _slower(mel: Tensor, mask: Tensor, rate: int) -> Tensor:
    """Mean of every `rate` valid frames: (B, M, T), (B, T) -> (B, ceil(T / rate), M)."""
    weight = mask[:, None].to(mel.dtype)
    padding = (0, -mel.shape[-1] % rate)
    total, count = (
        functional.pad(x, padding).unflatten(-1, (-1, rate)).sum(-1) for x in (mel * weight, weight)
    )
    return (total / count.clamp_min(1)).transpose(1, 2)
