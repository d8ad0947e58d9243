"""What lies between two sentences: their codes mixed on one time axis, beside their mels mixed likewise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.inference.latent.alignment import Alignment, align, between_pitches, sample_at
from voiceae.inference.latent.hearing import encode_mel
from voiceae.inference.latent.walk import shares_of

if TYPE_CHECKING:
    from voiceae.inference.target import Source, Target
    from voiceae.inference.voice import Voice
    from voiceae.models import Content

Watch = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps the items, for a progress bar."""

_RANGE_NATS = 8.0  # below the loudest bin of a mel; what lies deeper is not heard


@dataclass(frozen=True)
class Smoothness:
    """How evenly a way leads from one sentence to another, and whether it stays among speech.

    Attributes:
        steps: (n - 1,) distance between neighbours in the codes that the model hears in them, as shares of the way.
        detour: the whole way over the distance between its ends; 1 is straight.
        largest_step: of the steps, over their mean; 1 is even.
        contrast: (n,) deviation along the mel axis over that of the ends, mixed; below 1, formants have blurred.
    """

    steps: tuple[float, ...]
    detour: float
    largest_step: float
    contrast: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers by name."""
        return {
            "steps": [round(step, 4) for step in self.steps],
            "detour": round(self.detour, 4),
            "largest_step": round(self.largest_step, 4),
            "contrast": [round(value, 4) for value in self.contrast],
        }


@dataclass(frozen=True)
class Interpolation:
    """Two sentences and what lies between them.

    Attributes:
        shares: of the second sentence, one each.
        mels: (M, T) each, decoded from mixed codes.
        mixed_mels: (M, T) each, the decoded ends mixed as mels, on the same time axes.
        codes: smoothness of `mels`.
        plain: smoothness of `mixed_mels`.
        alignment: of the codes.
    """

    shares: tuple[float, ...]
    mels: tuple[Tensor, ...]
    mixed_mels: tuple[Tensor, ...]
    codes: Smoothness
    plain: Smoothness
    alignment: Alignment


def interpolate(
    voice: Voice,
    first: Source,
    second: Source,
    *,
    steps: int = 5,
    speaker: Target | None = None,
    watch: Watch = iter,
) -> Interpolation:
    """Go from one sentence to another through the content code, in one voice.

    Args:
        voice: the model.
        first: where the way begins.
        second: where it ends.
        steps: how many sounds, both ends included.
        speaker: who says them; the voice of the first recording by default.
        watch: wraps the steps, for a progress bar.

    Raises:
        AudioError: for audio that cannot be used.
        ConfigError: for fewer than two steps.
    """
    shares = shares_of(steps)
    ends = voice.encode(first), voice.encode(second)
    alignment = align(ends[0].units[0], ends[1].units[0])
    speaker = voice.listen(first if speaker is None else speaker)
    mels = [
        voice.decode(mixed_content(ends, share, alignment, voice.model.rate), speaker)
        for share in watch(shares)
    ]
    plain = [mixed_mel((mels[0], mels[-1]), share, alignment, voice.model.rate) for share in shares]
    return Interpolation(
        shares=tuple(shares),
        mels=tuple(mels),
        mixed_mels=tuple(plain),
        codes=smoothness(voice, mels, shares, alignment),
        plain=smoothness(voice, plain, shares, alignment),
        alignment=alignment,
    )


def mixed_content(ends: tuple[Content, Content], share: float, alignment: Alignment, rate: int) -> Content:
    """A content between two: units linearly, pitches by moving them, lengths and clocks in proportion.

    Args:
        ends: of one recording each.
        share: of the second.
        alignment: of their units.
        rate: mel frames per code frame.
    """
    count = alignment.frames(share, (ends[0].frames, ends[1].frames))
    coarse, fine = (alignment.positions(share, n, r) for n, r in ((-(-count // rate), 1), (count, rate)))
    units = [sample_at(end.units[0], at) for end, at in zip(ends, coarse, strict=True)]
    mixed = torch.lerp(units[0], units[1], share)
    pitches = [sample_at(end.pitch[0], at) for end, at in zip(ends, fine, strict=True)]
    pitch = between_pitches(pitches[0], pitches[1], share)
    return replace(
        ends[0],
        features=ends[0].features[..., :0],
        bottlenecked=replace(ends[0].bottlenecked, units=mixed[None], codes=None, losses={}, stats={}),
        pitch=pitch[None],
        pitch_centre=torch.lerp(ends[0].pitch_centre, ends[1].pitch_centre, share),
    )


def mixed_mel(ends: tuple[Tensor, Tensor], share: float, alignment: Alignment, rate: int) -> Tensor:
    """Log-mels mixed linearly on a common clock: (M, T), (M, T') -> (M, T'')."""
    count = alignment.frames(share, (ends[0].shape[-1], ends[1].shape[-1]))
    places = alignment.positions(share, count, rate)
    first, second = (sample_at(end, at) for end, at in zip(ends, places, strict=True))
    return torch.lerp(first, second, share)


def smoothness(voice: Voice, mels: list[Tensor], shares: list[float], alignment: Alignment) -> Smoothness:
    """Measure a way by what the model hears at each step; steps are compared frame by frame of the alignment.

    Args:
        voice: the model.
        mels: (M, T) each.
        shares: of the second sentence, one each.
        alignment: that gave them their clocks.
    """
    codes = [
        _on_the_path(encode_mel(voice, mel).units[0], share, alignment)
        for mel, share in zip(mels, shares, strict=True)
    ]
    steps = np.array([_distance(a, b) for a, b in pairwise(codes)])
    straight = max(_distance(codes[0], codes[-1]), 1e-9)
    contrast = np.array([_contrast(mel) for mel in mels])
    expected = np.interp(shares, [0, 1], contrast[[0, -1]])
    return Smoothness(
        steps=tuple((steps / max(steps.sum(), 1e-9)).tolist()),
        detour=float(steps.sum() / straight),
        largest_step=float(steps.max() / max(steps.mean(), 1e-9)),
        contrast=tuple((contrast / np.maximum(expected, 1e-9)).tolist()),
    )


def _on_the_path(units: Tensor, share: float, alignment: Alignment) -> NDArray[np.float64]:
    """Code of every pair of the alignment: (D, T') -> (D, P)."""
    clock = (1 - share) * alignment.first + share * alignment.second
    return np.asarray(sample_at(units, clock).double().numpy(force=True))


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean Euclidean distance of frames: (D, P), (D, P) -> ()."""
    return float(np.linalg.norm(a - b, axis=0).mean())


def _contrast(mel: Tensor) -> float:
    """Mean deviation along the mel axis of the frames that are heard: (M, T) -> ()."""
    heard = mel[:, mel.amax(0) > mel.max() - _RANGE_NATS / 2]
    return float(heard.clamp_min(float(mel.max()) - _RANGE_NATS).std(dim=0).mean())
