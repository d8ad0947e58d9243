"""Interpolation between two sentences: their codes on one time axis, beside their mels likewise, and a plot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voiceae.conversion.arguments import Source, Target
from voiceae.conversion.voice import Voice
from voiceae.io.console import Progress
from voiceae.latent import plotting
from voiceae.latent.speakers.interpolation import interpolation_shares
from voiceae.models import Content

_LEVELS = 96  # quantiles that a distribution over pitches is moved by; a clear pitch then lands within 1e-3 of a step


@dataclass(frozen=True)
class Alignment:
    """Pairs of code frames of two recordings, aligned in time.

    Attributes:
        first: (P,) indices that never fall, from 0 to the last code frame of the first recording.
        second: (P,) those of the second.
        cost: mean distance of the codes that go together, per step of the path.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cost: float

    def frames(self, share: float, frames: tuple[int, int]) -> int:
        """Length of a mixture of recordings of so many frames; `share` is that of the second."""
        return max(1, round((1 - share) * frames[0] + share * frames[1]))

    def positions(
        self, share: float, count: int, rate: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where in either recording each frame of a mixture comes from: -> (count,), (count,), in frames.

        At share 0 the first recording's frames come one after the other, at 1 the second's; between, both clocks
        run so that the mixture's is their weighted mean.

        Args:
            share: of the second recording, 0 to 1.
            count: frames of the mixture.
            rate: frames for each code frame.
        """
        first, second = (np.append(path, path[-1] + 1) for path in (self.first, self.second))
        clock = (1 - share) * first + share * second
        steps = np.arange(len(clock))
        place = np.interp(np.arange(count) / rate, clock, steps)
        return rate * np.interp(place, steps, first), rate * np.interp(place, steps, second)


def align(first: Tensor, second: Tensor) -> Alignment:
    """Align codes by dynamic time warping (Sakoe and Chiba 1978) under the cosine distance: (D, T'), (D, T'') ->.

    Args:
        first: units of one recording.
        second: units of another.
    """
    from librosa.sequence import dtw

    ours, theirs = (
        functional.normalize(each.detach().double(), dim=0, eps=1e-9).cpu().numpy()
        for each in (first, second)
    )
    total, path = dtw(C=np.clip(1 - ours.T @ theirs, 0, 2))
    path = path[::-1]  # librosa begins at the end
    return Alignment(path[:, 0], path[:, 1], float(total[-1, -1]) / len(path))


def sample_at(frames: Tensor, positions: NDArray[np.float64]) -> Tensor:
    """Interpolate frames linearly at fractional positions: (X, T), (n,) -> (X, n)."""
    last = frames.shape[-1] - 1
    place = torch.as_tensor(positions, dtype=frames.dtype, device=frames.device).clamp(0, last)
    low = place.floor().long()
    high = (low + 1).clamp(max=last)
    return torch.lerp(frames[:, low], frames[:, high], place - low)


def interpolate_pitch(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Interpolate between distributions over pitches by moving them: (K, T), (K, T) -> (K, T).

    Each is moved rather than faded: the quantiles of the result are the weighted means of theirs (displacement
    interpolation, McCann 1997), so that between 100 and 200 Hz lies one pitch and not two.

    Args:
        first: of one recording.
        second: of another, frame by frame.
        share: of the second, 0 to 1.
    """
    if not len(first):
        return first
    levels = (torch.arange(_LEVELS, device=first.device) + 0.5) / _LEVELS
    places = [_quantiles(each, levels) for each in (first, second)]
    place = torch.lerp(places[0], places[1], share).clamp(0, len(first) - 1)  # (T, levels)
    low = place.floor().long()
    part = place - low
    moved = torch.zeros_like(first.T)
    moved.scatter_add_(1, low, (1 - part) / _LEVELS)
    moved.scatter_add_(1, (low + 1).clamp(max=len(first) - 1), part / _LEVELS)
    return moved.T.contiguous()


def _quantiles(distribution: Tensor, levels: Tensor) -> Tensor:
    """Grid positions below which lies so much of each frame's mass: (K, T), (L,) -> (T, L).

    A grid point's mass is taken to be spread evenly over half a step to either side.
    """
    mass = distribution.T / distribution.T.sum(-1, keepdim=True).clamp_min(1e-9)
    upper = mass.cumsum(-1)
    index = torch.searchsorted(upper.contiguous(), levels.expand(len(mass), -1).contiguous())
    index = index.clamp(max=mass.shape[-1] - 1)
    inside = mass.gather(1, index)
    below = upper.gather(1, index) - inside
    return index - 0.5 + ((levels - below) / inside.clamp_min(1e-9)).clamp(0, 1)


_AUDIBLE_NATS = 8.0  # below the loudest bin of a mel; what lies deeper is masked


@dataclass(frozen=True)
class Smoothness:
    """How evenly an interpolation leads from one sentence to another, and whether it stays among speech.

    Attributes:
        steps: (n - 1,) distance between neighbours in the codes of their mels, as shares of the whole.
        detour: the whole way over the distance between its ends; 1 is straight.
        largest_step: of the steps, over their mean; 1 is even.
        contrast: (n,) deviation along the mel axis over that of the ends, mixed; below 1, formants have blurred.
    """

    steps: tuple[float, ...]
    detour: float
    largest_step: float
    contrast: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers by name, for a report."""
        return {
            "steps": [round(step, 4) for step in self.steps],
            "detour": round(self.detour, 4),
            "largest_step": round(self.largest_step, 4),
            "contrast": [round(value, 4) for value in self.contrast],
        }


@dataclass(frozen=True)
class Interpolation:
    """An interpolation between two sentences.

    Attributes:
        shares: of the second sentence, one each.
        mels: (M, T) each, decoded from mixed codes.
        mixed_mels: (M, T) each, the decoded ends mixed as mels, on the same time axes.
        code_smoothness: of `mels`.
        mel_smoothness: of `mixed_mels`.
        alignment: of the codes.
    """

    shares: tuple[float, ...]
    mels: tuple[Tensor, ...]
    mixed_mels: tuple[Tensor, ...]
    code_smoothness: Smoothness
    mel_smoothness: Smoothness
    alignment: Alignment


def interpolate(
    voice: Voice,
    first: Source,
    second: Source,
    *,
    steps: int = 5,
    speaker: Target | None = None,
    progress: Progress = iter,
) -> Interpolation:
    """Interpolate from one sentence to another through the content code, in one voice.

    Args:
        voice: the model.
        first: where the way begins.
        second: where it ends.
        steps: how many sounds, both ends included.
        speaker: who says them; the voice of the first recording by default.
        progress: wraps the steps, for a progress bar.

    Raises:
        AudioError: for audio that cannot be used.
        ConfigError: for fewer than two steps.
    """
    shares = interpolation_shares(steps)
    ends = voice.encode(first), voice.encode(second)
    alignment = align(ends[0].units[0], ends[1].units[0])
    speaker = voice.profile(first if speaker is None else speaker)
    rate = voice.model.rate
    contents = (interpolate_content(ends, share, alignment, rate) for share in progress(shares))
    mels = [voice.decode(content, speaker) for content in contents]
    mixed = [interpolate_mels((mels[0], mels[-1]), share, alignment, rate) for share in shares]
    return Interpolation(
        shares=tuple(shares),
        mels=tuple(mels),
        mixed_mels=tuple(mixed),
        code_smoothness=smoothness(voice, mels, shares, alignment),
        mel_smoothness=smoothness(voice, mixed, shares, alignment),
        alignment=alignment,
    )


def interpolate_content(
    ends: tuple[Content, Content], share: float, alignment: Alignment, rate: int
) -> Content:
    """Interpolate between two contents: units linearly, pitches by moving them, lengths and clocks in proportion.

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
    pitch = interpolate_pitch(pitches[0], pitches[1], share)
    return replace(
        ends[0],
        features=ends[0].features[..., :0],
        bottlenecked=replace(ends[0].bottlenecked, units=mixed[None], codes=None, losses={}, stats={}),
        pitch=pitch[None],
        pitch_centre=torch.lerp(ends[0].pitch_centre, ends[1].pitch_centre, share),
    )


def interpolate_mels(ends: tuple[Tensor, Tensor], share: float, alignment: Alignment, rate: int) -> Tensor:
    """Interpolate between log-mels linearly on a common clock: (M, T), (M, T') -> (M, T'')."""
    count = alignment.frames(share, (ends[0].shape[-1], ends[1].shape[-1]))
    places = alignment.positions(share, count, rate)
    first, second = (sample_at(end, at) for end, at in zip(ends, places, strict=True))
    return torch.lerp(first, second, share)


def smoothness(voice: Voice, mels: list[Tensor], shares: list[float], alignment: Alignment) -> Smoothness:
    """Measure an interpolation by the codes of each step's mel, compared frame by frame of the alignment.

    Args:
        voice: the model.
        mels: (M, T) each.
        shares: of the second sentence, one each.
        alignment: that gave them their clocks.
    """
    codes = []  # of every pair of the alignment, (D, P) each
    spread = []  # mean deviation along the mel axis of the frames within half the audible range
    for mel, share in zip(mels, shares, strict=True):
        clock = (1 - share) * alignment.first + share * alignment.second
        units = voice.encode_mel(mel).units[0]
        codes.append(sample_at(units, clock).double().numpy(force=True))
        audible = mel[:, mel.amax(0) > mel.max() - _AUDIBLE_NATS / 2]
        spread.append(float(audible.clamp_min(float(mel.max()) - _AUDIBLE_NATS).std(dim=0).mean()))
    steps = np.array([_distance(a, b) for a, b in pairwise(codes)])
    straight = max(_distance(codes[0], codes[-1]), 1e-9)
    contrast = np.array(spread)
    expected = np.interp(shares, [0, 1], contrast[[0, -1]])
    return Smoothness(
        steps=tuple((steps / max(steps.sum(), 1e-9)).tolist()),
        detour=float(steps.sum() / straight),
        largest_step=float(steps.max() / max(steps.mean(), 1e-9)),
        contrast=tuple((contrast / np.maximum(expected, 1e-9)).tolist()),
    )


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean Euclidean distance of frames: (D, P), (D, P) -> ()."""
    return float(np.linalg.norm(a - b, axis=0).mean())


def draw_interpolation(found: Interpolation, path: str | Path, *, force: bool = False) -> None:
    """Draw the mels of all steps, decoded and mixed, with the alignment and the smoothness of both.

    Args:
        found: what `interpolate` gave.
        path: the picture.
        force: overwrite an existing file.

    Raises:
        OutputError: for an unknown suffix, an existing file without `force`, or a full disk.
    """
    count = len(found.shares)
    figure = plotting.new_figure(max(10.0, 2.3 * count), 8.0)
    parts: Any = figure.subfigures(3, 1, height_ratios=(1, 1, 1.2))
    rows = [[mel.numpy(force=True) for mel in mels] for mels in (found.mels, found.mixed_mels)]
    limits = plotting.mel_limits(rows[0])
    for part, mels, what in zip(parts, rows, ("codes mixed", "mels mixed"), strict=False):
        for plot, mel, share in zip(part.subplots(1, count), mels, found.shares, strict=True):
            plotting.mel_strip(plot, mel, limits, f"{what}, {share:.0%}" if share == 0 else f"{share:.0%}")
    alignment, steps, contrast = parts[2].subplots(1, 3)
    plotting.style_axes(alignment, "alignment of the codes")
    alignment.plot(found.alignment.first, found.alignment.second, color=plotting.INK)
    alignment.set_xlabel("code frame of the first sentence")
    alignment.set_ylabel("of the second")
    plotting.style_axes(steps, "step in the model's codes, share of the whole")
    plotting.style_axes(contrast, "contrast along the mel axis, of the ends'")
    places = np.arange(1, count)
    for shift, smooth, colour, name in (
        (-0.19, found.code_smoothness, plotting.FIRST, "codes mixed"),
        (0.19, found.mel_smoothness, plotting.SECOND, "mels mixed"),
    ):
        label = f"{name}, detour {smooth.detour:.2f}"
        steps.bar(places + shift, smooth.steps, width=0.36, color=colour, label=label)
        contrast.plot(found.shares, smooth.contrast, color=colour, marker="o", markersize=4, label=name)
    steps.axhline(1 / len(places), color=plotting.THIRD, linewidth=0.8)
    contrast.axhline(1, color=plotting.THIRD, linewidth=0.8)
    steps.set_xticks(places)
    steps.set_xlabel("step")
    contrast.set_xlabel("share of the second sentence")
    for plot in (steps, contrast):
        plot.legend(fontsize=8, frameon=False)
    plotting.save_figure(figure, path, force=force)
