"""A way from one voice to another: what is asked for at each step, and what the decoder makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.arguments import as_number
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.errors import ConfigError
from voiceae.io.audio import Audio
from voiceae.io.console import Progress
from voiceae.latent import plotting as canvas

if TYPE_CHECKING:
    from voiceae.conversion.targets import Source
    from voiceae.conversion.voice import Voice


@dataclass(frozen=True)
class Waypoint:
    """A voice on the way; cosines are those of the model's own speaker vectors.

    Attributes:
        share: of the second voice, 0 to 1.
        asked_first: between the vector that was asked for and the first voice's.
        asked_second: and the second voice's.
        heard_first: between the vector of what came out and the first voice's.
        heard_second: and the second voice's.
        semitones: median fundamental of what came out above the first voice's, or None where it is not known.
    """

    share: float
    asked_first: float
    asked_second: float
    heard_first: float
    heard_second: float
    semitones: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain numbers by name."""
        return {name: None if value is None else round(value, 5) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class SpeakerPath:
    """All of the way.

    Attributes:
        points: the voices, from the first to the second.
        sounds: the sentence in each.
        mels: of these sounds, (M, T) each.
    """

    points: tuple[Waypoint, ...]
    sounds: tuple[Audio, ...]
    mels: tuple[NDArray[np.float32], ...]


def voices_between(
    first: SpeakerProfile, second: SpeakerProfile, steps: int, *, spherical: bool = False
) -> list[SpeakerProfile]:
    """Voices at equal steps from one to another, both included.

    Args:
        first: where the way begins.
        second: where it ends.
        steps: how many voices, at least 2.
        spherical: equal steps of angle along the sphere rather than of length along the straight line.

    Raises:
        ConfigError: for fewer than two steps.
        EmbeddingError: when the voices are opposites, so that none lies between.
    """
    shares = shares_of(steps)
    return [SpeakerProfile.mean([first, second], [1 - share, share], spherical=spherical) for share in shares]


def shares_of(steps: int) -> list[float]:
    """Equal steps from 0 to 1, both included.

    Raises:
        ConfigError: for fewer than two.
    """
    if not float(as_number(steps, "steps")).is_integer():
        raise ConfigError(f"{steps} steps: give a whole number")
    steps = int(steps)
    if steps < 2:
        raise ConfigError(f"{steps} steps: a way has at least 2, its two ends")
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
    """Say a sentence in every voice on the way from one to another.

    Args:
        voice: the model.
        source: the sentence.
        ends: the first and the last voice.
        steps: how many voices, both ends included.
        spherical: as for `voices_between`.
        progress: wraps the steps, for a progress bar.
    """
    between = voices_between(*ends, steps, spherical=spherical)
    sounds = [voice.convert(source, each) for each in progress(between)]
    heard = [voice.profile(sound) for sound in sounds]
    points = [
        _waypoint(share, asked, came, ends)
        for share, asked, came in zip(shares_of(steps), between, heard, strict=True)
    ]
    mels = tuple(voice.mel(sound).numpy(force=True) for sound in sounds)
    return SpeakerPath(tuple(points), tuple(sounds), mels)


def _waypoint(
    share: float, asked: SpeakerProfile, came: SpeakerProfile, ends: tuple[SpeakerProfile, SpeakerProfile]
) -> Waypoint:
    first, second = ends
    known = came.pitch_centre is not None and first.pitch_centre is not None
    semitones = 12 * (came.pitch_centre - first.pitch_centre) if known else None  # type: ignore[operator]
    return Waypoint(
        share=share,
        asked_first=float(asked.embedding @ first.embedding),
        asked_second=float(asked.embedding @ second.embedding),
        heard_first=float(came.embedding @ first.embedding),
        heard_second=float(came.embedding @ second.embedding),
        semitones=semitones,
    )


def draw_speaker_path(
    way: SpeakerPath, names: Sequence[str], path: str | Path, *, force: bool = False
) -> None:
    """Mels of all steps, the likeness to both ends, and the pitch.

    Args:
        way: what `speaker_path` gave.
        names: of the two voices.
        path: the picture.
        force: overwrite an existing file.

    Raises:
        OutputError: for an unknown suffix, an existing file without `force`, or a full disk.
    """
    count = len(way.points)
    figure = canvas.sheet(max(9.0, 1.7 * count), 6.4)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    above, below = parts
    _draw_mels(above.subplots(1, count), way)
    shares = [point.share for point in way.points]
    left, right = below.subplots(1, 2, width_ratios=(2, 1))
    canvas.plain(left, "likeness to the two voices (cosine)")
    for end, colour, name in (("first", canvas.FIRST, names[0]), ("second", canvas.SECOND, names[1])):
        asked = [getattr(point, f"asked_{end}") for point in way.points]
        heard = [getattr(point, f"heard_{end}") for point in way.points]
        left.plot(shares, asked, color=colour, linestyle=":", label=f"{name}: asked for")
        left.plot(shares, heard, color=colour, marker="o", markersize=4, label=f"{name}: heard in the result")
    left.set_xlabel(f"share of {names[1]}")
    left.legend(fontsize=8, frameon=False)
    _draw_pitch(canvas.plain(right, "median pitch, semitones"), way)
    canvas.save(figure, path, force=force)


def _draw_mels(plots: Any, way: SpeakerPath) -> None:
    stacked = np.concatenate([mel.ravel() for mel in way.mels])
    limits = (float(np.quantile(stacked, 0.05)), float(np.quantile(stacked, 0.995)))
    for plot, point, mel in zip(plots, way.points, way.mels, strict=True):
        canvas.mel_strip(plot, mel, limits, f"{point.share:.0%}")


def _draw_pitch(plot: Any, way: SpeakerPath) -> None:
    known = [(point.share, point.semitones) for point in way.points if point.semitones is not None]
    if known:
        plot.plot(*zip(*known, strict=True), color=canvas.INK, marker="o", markersize=4)
    plot.set_xlabel("above the first voice's")
