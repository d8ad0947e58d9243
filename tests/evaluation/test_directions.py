from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voiceae.data.corpora import Recording
from voiceae.evaluation.directions import BY_PITCH, BY_SEX, find_directions
from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.scoring import Measurements

PITCH = {"mary": 210.0, "anne": 190.0, "john": 110.0, "paul": 130.0}
SEX = {"mary": "F", "anne": "F", "john": "M", "paul": "M"}


def clip(speaker: str, utterance: str = "1") -> Clip:
    path = Path(f"{speaker}/{utterance}.wav")
    return Clip(Recording(path=path, speaker=speaker, utterance=utterance, gender=SEX[speaker]), 3.0)


def pair(source: str, target: str) -> Pair:
    return Pair(
        name=f"{source}-{target}",
        source=clip(source),
        references=(clip(target, "2"),),
        scored=clip(target),
        natural=None,
        source_other=clip(source, "2"),
        source_reference=None,
    )


PAIRS = [pair("mary", "john"), pair("paul", "anne"), pair("mary", "anne"), pair("john", "paul")]


def measured() -> dict[str, Measurements]:
    """Half of the frames unvoiced, and an octave error that a median does not hear."""
    return {f"{name}/1.wav": {"pitch": {"f0": [0.0] * 9 + [f0] * 8 + [2 * f0]}} for name, f0 in PITCH.items()}


def test_the_sexes_give_the_directions_where_they_are_known() -> None:
    found = find_directions(PAIRS, {})
    assert found.by == BY_SEX
    assert list(found.of.values()) == ["female to male", "male to female", "same sex", "same sex"]


def test_pitch_gives_them_where_one_sex_is_not_known() -> None:
    unknown = replace(PAIRS[0].scored, recording=replace(PAIRS[0].scored.recording, gender=None))
    pairs = [replace(PAIRS[0], scored=unknown), *PAIRS[1:]]
    found = find_directions(pairs, measured())
    assert found.by == BY_PITCH
    assert list(found.of.values()) == ["high to low", "low to high", "same height", "same height"]


@pytest.mark.parametrize("missing", ["mary/1.wav", "john/1.wav"])
def test_a_pair_without_pitch_has_no_direction(missing: str) -> None:
    unknown = [
        replace(each, source=replace(each.source, recording=replace(each.source.recording, gender=None)))
        for each in PAIRS
    ]
    without = {**measured(), missing: {"pitch": "no voiced frame; pitch cannot be measured"}}
    assert "mary-john" not in find_directions(unknown, without).of
