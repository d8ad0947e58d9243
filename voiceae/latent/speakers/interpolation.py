"""Interpolation between two speakers: the embedding requested at each step, and that of the resulting speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.arguments import Source, as_number
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError
from voiceae.io.audio import Audio
from voiceae.io.console import Progress
from voiceae.latent import plotting


@dataclass(frozen=True)
class PathPoint:
    """One step between two speakers; cosines are of the model's own speaker embeddings.

    Attributes:
        share: of the second voice, 0 to 1.
        requested_first: cosine of the requested embedding and the first speaker's.
        requested_second: and the second speaker's.
        result_first: cosine of the embedding of the resulting speech and the first speaker's.
        result_second: and the second speaker's.
        semitones: median fundamental of the result above the first speaker's, or None where it is not known.
    """

    share: float
    requested_first: float
    requested_second: float
    result_first: float
    result_second: float
    semitones: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain numbers by name, for a report."""
        return {name: None if value is None else round(value, 5) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class SpeakerPath:
    """All steps between two speakers.

    Attributes:
        points: the voices, from the first to the second.
        sounds: the sentence in each.
        mels: of these sounds, (M, T) each.
    """

    points: tuple[PathPoint, ...]
    sounds: tuple[Audio, ...]
    mels: tuple[NDArray[np.float32], ...]


def interpolate_profiles(
    first: SpeakerProfile, second: SpeakerProfile, steps: int, *, spherical: bool = False
) -> list[SpeakerProfile]:
    """Speaker profiles at equal steps from one to another, both included.

    Args:
        first: where the way begins.
        second: where it ends.
        steps: how many voices, at least 2.
        spherical: equal steps of angle along the sphere rather than of length along the straight line.

    Raises:
        ConfigError: for fewer than two steps.
        EmbeddingError: when the voices are opposites, so that none lies between.
    """
    shares = interpolation_shares(steps)
    return [SpeakerProfile.mean([first, second], [1 - share, share], spherical=spherical) for share in shares]


def interpolation_shares(steps: int) -> list[float]:
    """Equal steps from 0 to 1, both included.

    Raises:
        ConfigError: for fewer than two.
    """
    if not float(as_number(steps, "steps")).is_integer():
        raise ConfigError(f"{steps} steps: give a whole number")
    steps = int(steps)
    if steps < 2:
        raise ConfigError(f"{steps} steps: a path has at least 2, its two ends")
    return [step / (steps - 1) for step in range(steps)]


def speaker_path(
    voice: Voice,
    source: Source,
    ends: tuple[SpeakerProfile, SpeakerProfile],
    steps: int,
    *,
    spherical: bool = False,
    progress: Progress = iter,
) -> SpeakerPath:
    """Convert a sentence to every speaker profile on the path from one to another.

    Args:
        voice: the model.
        source: the sentence.
        ends: the first and the last voice.
        steps: how many voices, both ends included.
        spherical: as for `interpolate_profiles`.
        progress: wraps the steps, for a progress bar.
    """
    first, second = ends
    between = interpolate_profiles(first, second, steps, spherical=spherical)
    sounds = tuple(voice.convert(source, each) for each in progress(between))
    points = []
    # What was requested moves evenly by construction; what the decoder makes of it is measured on the result.
    for share, requested, sound in zip(interpolation_shares(steps), between, sounds, strict=True):
        result, semitones = voice.profile(sound), None
        if result.pitch_centre is not None and first.pitch_centre is not None:
            semitones = 12 * (result.pitch_centre - first.pitch_centre)
        points.append(
            PathPoint(
                share=share,
                requested_first=float(requested.embedding @ first.embedding),
                requested_second=float(requested.embedding @ second.embedding),
                result_first=float(result.embedding @ first.embedding),
                result_second=float(result.embedding @ second.embedding),
                semitones=semitones,
            )
        )
    mels = tuple(voice.mel(sound).numpy(force=True) for sound in sounds)
    return SpeakerPath(tuple(points), sounds, mels)


def draw_speaker_path(
    found: SpeakerPath, names: Sequence[str], path: str | Path, *, force: bool = False
) -> None:
    """Draw the mels of all steps, the similarity to both ends, and the pitch.

    Args:
        found: what `speaker_path` gave.
        names: of the two voices.
        path: the picture.
        force: overwrite an existing file.

    Raises:
        OutputError: for an unknown suffix, an existing file without `force`, or a full disk.
    """
    count = len(found.points)
    figure = plotting.new_figure(max(9.0, 1.7 * count), 6.4)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    above, below = parts
    limits = plotting.mel_limits(found.mels)
    for plot, point, mel in zip(above.subplots(1, count), found.points, found.mels, strict=True):
        plotting.mel_strip(plot, mel, limits, f"{point.share:.0%}")
    shares = [point.share for point in found.points]
    left, right = below.subplots(1, 2, width_ratios=(2, 1))
    plotting.style_axes(left, "similarity to the two speakers (cosine)")
    for end, colour, name in (("first", plotting.FIRST, names[0]), ("second", plotting.SECOND, names[1])):
        requested = [getattr(point, f"requested_{end}") for point in found.points]
        results = [getattr(point, f"result_{end}") for point in found.points]
        left.plot(shares, requested, color=colour, linestyle=":", label=f"{name}: requested")
        left.plot(shares, results, color=colour, marker="o", markersize=4, label=f"{name}: of the result")
    left.set_xlabel(f"share of {names[1]}")
    left.legend(fontsize=8, frameon=False)
    plotting.style_axes(right, "median pitch, semitones")
    known = [(point.share, point.semitones) for point in found.points if point.semitones is not None]
    if known:
        right.plot(*zip(*known, strict=True), color=plotting.INK, marker="o", markersize=4)
    right.set_xlabel("above the first speaker's")
    plotting.save_figure(figure, path, force=force)
