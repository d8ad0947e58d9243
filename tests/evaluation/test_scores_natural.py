"""NaturalScores scores: by hand for made-up embeddings, and the published behaviour of the scorer on real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.data.corpora import Recording, list_recordings
from voiceae.evaluation.pairs import Clip, group_by_speaker, read_durations
from voiceae.evaluation.scores import draw_natural_clips, score_natural_speech, subset_of
from voiceae.evaluation.scoring import ScoringJob, score_all
from voiceae.pretrained.scorers import load_scorers


def clip(speaker: str, index: int) -> Clip:
    return Clip(Recording(path=Path(f"{speaker}/{index}"), speaker=speaker, utterance=str(index)), 3.0)


def test_scores_are_within_subsets_and_by_speaker() -> None:
    clips = [clip(name, i) for name in ("a1", "a2", "b1", "b2") for i in range(2)]
    angles = np.radians([0, 20, 90, 110, 0, 60, 90, 150])
    found = score_natural_speech(clips, np.stack([np.cos(angles), np.sin(angles)], axis=1).tolist())
    assert found is not None
    assert found.subsets["a"]["same"] == pytest.approx(np.cos(np.radians(20)))
    assert found.subsets["b"]["same"] == pytest.approx(0.5)
    between = np.cos(np.radians([90, 110, 70, 90])).mean()
    assert found.subsets["a"]["different"] == pytest.approx(between)
    assert found.subsets["all"]["pairs_same"] == 4
    assert found.subsets["all"]["pairs_different"] == 8  # never a of one subset with b of the other
    assert found.threshold("a9") == found.subsets["a"]["threshold"]
    assert found.threshold("z1") == found.subsets["all"]["threshold"]


def test_a_subset_of_one_speaker_has_no_figures() -> None:
    assert score_natural_speech([clip("a1", 0), clip("a1", 1)], [[1.0, 0.0], [0.0, 1.0]]) is None


def test_names_without_common_letters_are_one_set() -> None:
    clips = [clip(name, i) for name in ("alice", "bob") for i in range(2)]
    found = score_natural_speech(clips, [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert found is not None
    assert list(found.subsets) == ["all"]
    assert (found.subsets["all"]["same"], found.subsets["all"]["different"]) == pytest.approx((1.0, 0.0))


def test_subsets_are_the_letters_of_names() -> None:
    names = ("so0024", "p225", "1234", "Zoë-1")
    assert [subset_of(name, ["ls"]) for name in names] == ["so", "p", "", "Zoë"]


def test_hexadecimal_numbers_make_no_subsets() -> None:
    names = ["cv1656", "cva13f", "cvdbc2", "ls12"]
    clips = [clip(name, i) for name in names for i in range(2)]
    angles = np.radians([0, 5, 40, 45, 80, 85, 120, 125])
    found = score_natural_speech(clips, np.stack([np.cos(angles), np.sin(angles)], axis=1).tolist())
    assert found is not None
    assert list(found.subsets) == ["cv", "all"]  # one speaker of "ls" has nobody to be taken for
    assert found.subsets["cv"]["clips"] == 6
    assert found.threshold("cvfa9a") == found.subsets["cv"]["threshold"]


def test_real_speech_scores_as_the_scorer_is_known_to(minivctk: Path) -> None:
    loaded = load_scorers(("speaker",))
    if loaded.missing:
        pytest.skip(loaded.missing["speaker"])
    clips, _ = read_durations(
        recording for recording in list_recordings("vctk", minivctk) if recording.speaker.startswith("ls")
    )
    drawn = draw_natural_clips(group_by_speaker(clips), seed=0)
    waves = {str(each.path): ScoringJob.from_audio(each.path, ["speaker"]) for each in drawn}
    heard = score_all(waves)
    found = score_natural_speech(drawn, [heard[str(each.path)]["speaker"]["embedding"] for each in drawn])  # type: ignore[index]
    assert found is not None
    assert found.subsets["ls"]["same"] == pytest.approx(0.87, abs=0.02)
    assert found.subsets["ls"]["different"] == pytest.approx(0.52, abs=0.02)
    assert found.subsets["ls"]["eer"] == pytest.approx(0.015, abs=0.02)
