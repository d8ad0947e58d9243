"""Pairs by the direction of the conversion: from a woman to a man, from a high voice to a low one, and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.scoring import Measurements

PITCH_BORDER = (
    165.0  # Hz: between the medians of men, about 120, and women, about 210 (Traunmüller & Eriksson 1995)
)

BY_SEX = "the sexes that the corpus tells"
BY_PITCH = f"the median pitch of source and target clip, below or above {PITCH_BORDER:g} Hz"


@dataclass(frozen=True)
class Directions:
    """The direction of each pair that has one.

    Attributes:
        by: what tells the directions apart.
        of: direction by name of the pair.
    """

    by: str
    of: dict[str, str]


def find_directions(pairs: Sequence[Pair], measurements: Mapping[str, Measurements]) -> Directions:
    """Direction of every pair: by sex where the corpus tells it of all, otherwise by pitch where it was measured.

    Args:
        pairs: to be grouped.
        measurements: what the scorers measured, by path of the clip.
    """
    sexes = {pair.name: (pair.source.recording.gender, pair.scored.recording.gender) for pair in pairs}
    if all(source and target for source, target in sexes.values()):
        words = {"F": "female", "M": "male"}
        by_sex = {
            name: _direction(
                words.get(str(source), str(source)), words.get(str(target), str(target)), "same sex"
            )
            for name, (source, target) in sexes.items()
        }
        return Directions(BY_SEX, by_sex)
    by_pitch = {}
    for pair in pairs:
        source, target = (_height(clip, measurements) for clip in (pair.source, pair.scored))
        if source and target:
            by_pitch[pair.name] = _direction(source, target, "same height")
    return Directions(BY_PITCH, by_pitch)


def _direction(source: str, target: str, same: str) -> str:
    return same if source == target else f"{source} to {target}"


def _height(clip: Clip, measurements: Mapping[str, Measurements]) -> str | None:
    """Whether a clip's median fundamental is "high" or "low"; None where it was not measured."""
    found = measurements.get(str(clip.path), {}).get("pitch")
    if not isinstance(found, dict):
        return None
    return "high" if median(value for value in found["f0"] if value > 0) > PITCH_BORDER else "low"
