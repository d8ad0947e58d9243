"""What natural speech of the same set scores: the threshold, and a check of the judge itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.evaluation.pairs import Clip
from voiceae.evaluation.scores import equal_error

MOST_CLIPS = 40
ALL = "all"

PROTOCOL = (
    f"Natural rows: every pair of clips of a subset, at most {MOST_CLIPS} clips a speaker, seeded. "
    "A subset is the speakers whose names begin with the same letters, all where no two do. "
    "A conversion is accepted at the threshold of its target's subset."
)


@dataclass(frozen=True)
class Natural:
    """Scores of natural speech.

    Attributes:
        subsets: figures by subset; "all" compares within subsets only, as a verifier would be tested on each.
        same: cosines of pairs of clips of one speaker, all subsets.
    """

    subsets: dict[str, dict[str, float]]
    same: NDArray[np.float64]

    def threshold(self, speaker: str) -> float:
        """Equal-error threshold of the set that a speaker is in; of all sets where that one has none."""
        return self.subsets.get(subset_of(speaker), self.subsets[ALL])["threshold"]


def subset_of(speaker: str) -> str:
    """Letters that a speaker's name begins with: "so0024" -> "so"."""
    match = re.match(r"[^\W\d_]+", speaker)
    return match.group() if match else ""


def draw_natural(groups: Mapping[str, Sequence[Clip]], seed: int) -> list[Clip]:
    """Clips to compare, at most `MOST_CLIPS` a speaker."""
    rng = np.random.default_rng(seed)
    return [
        clips[index]
        for clips in groups.values()
        for index in sorted(rng.permutation(len(clips))[:MOST_CLIPS])
    ]


def natural_scores(clips: Sequence[Clip], embeddings: Sequence[Sequence[float]]) -> Natural | None:
    """Similarity within and between speakers, subset by subset: n clips, (n, S) ->.

    None where no subset has two speakers, one of them with two clips.
    """
    if not clips:
        return None
    members: dict[str, list[int]] = defaultdict(list)
    speakers: dict[str, set[str]] = defaultdict(set)
    for index, clip in enumerate(clips):
        members[subset_of(clip.speaker)].append(index)
        speakers[subset_of(clip.speaker)].add(clip.speaker)
    if all(len(names) < 2 for names in speakers.values()):  # names like alice and bob say nothing of subsets
        members = defaultdict(list, {ALL: list(range(len(clips)))})
    scores = {
        name: _scores([clips[i] for i in own], np.asarray([embeddings[i] for i in own]))
        for name, own in members.items()
    }
    usable = {name: pair for name, pair in scores.items() if all(map(len, pair))}
    if not usable:
        return None
    same, different = (np.concatenate([pair[side] for pair in usable.values()]) for side in (0, 1))
    counts = {name: len(members[name]) for name in usable}
    subsets = {name: _figures(*pair, counts[name]) for name, pair in sorted(usable.items())}
    return Natural({**subsets, ALL: _figures(same, different, sum(counts.values()))}, same)


def _scores(clips: Sequence[Clip], embeddings: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cosines of all pairs of one speaker and of two."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    upper = np.triu_indices(len(clips), 1)
    speakers = np.array([clip.speaker for clip in clips])
    same = (speakers[:, None] == speakers)[upper]
    cosines = (unit @ unit.T)[upper]
    return cosines[same], cosines[~same]


def _figures(same: NDArray[Any], different: NDArray[Any], clips: int) -> dict[str, float]:
    error = equal_error(same, different)
    return {
        "same": float(same.mean()),
        "different": float(different.mean()),
        "eer": error.rate,
        "threshold": error.threshold,
        "clips": clips,
        "pairs_same": len(same),
        "pairs_different": len(different),
    }
