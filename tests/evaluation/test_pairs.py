"""What a drawing of pairs must keep, on made-up corpora and on the real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from voiceae.data.corpora import Recording, list_recordings
from voiceae.errors import CorpusError
from voiceae.evaluation.pairs import (
    Clip,
    Pair,
    draw_pairs,
    normalise_text,
    read_durations,
    read_pairs,
    trained_by,
    trained_speakers,
    unseen_recordings,
)


def made_up(women: int, men: int, unknown: int = 0, clips: int = 6) -> list[Clip]:
    rng = np.random.default_rng(0)
    genders = ["F"] * women + ["M"] * men + [None] * unknown
    return [
        Clip(
            Recording(
                path=Path(f"s{number:02d}/{index}.wav"),
                speaker=f"s{number:02d}",
                utterance=str(index),
                text=f"Sentence {index}!",
                gender=gender,
            ),
            float(rng.uniform(1, 12)),
        )
        for number, gender in enumerate(genders)
        for index in range(clips)
    ]


def natural(pair: Pair) -> list[Clip]:
    others = [pair.scored, pair.natural, pair.source_other, pair.source_reference, pair.same_sentence]
    clips = [pair.source, *pair.references, *others]
    return [clip for clip in clips if clip is not None]


@pytest.mark.parametrize(("women", "men"), [(14, 16), (5, 5), (3, 9), (1, 4), (2, 1), (0, 4)])
def test_every_speaker_is_source_and_target_once_a_round(women: int, men: int) -> None:
    speakers = women + men
    pairs = draw_pairs(made_up(women, men), 2 * speakers, seed=1)
    assert set(Counter(pair.source.speaker for pair in pairs).values()) == {2}
    assert set(Counter(pair.scored.speaker for pair in pairs).values()) == {2}
    assert all(pair.source.speaker != pair.scored.speaker for pair in pairs)


@pytest.mark.parametrize("n_pairs", [60, 100, 31])
def test_half_of_the_pairs_cross_the_sexes(n_pairs: int) -> None:
    cross_gender = [pair.cross_gender for pair in draw_pairs(made_up(14, 16), n_pairs, seed=2)]
    assert abs(sum(map(bool, cross_gender)) - n_pairs / 2) <= 2


def test_sexes_that_are_not_known_are_not_claimed() -> None:
    assert {pair.cross_gender for pair in draw_pairs(made_up(0, 0, unknown=5), 10, seed=0)} == {None}


@pytest.mark.parametrize("seed", range(5))
def test_no_clip_is_used_twice_in_a_pair(seed: int) -> None:
    for pair in draw_pairs(made_up(4, 4), 40, seed):
        paths = [clip.path for clip in natural(pair)]
        assert len(paths) == len(set(paths)) >= 6


def test_clips_belong_to_whom_they_stand_for() -> None:
    for pair in draw_pairs(made_up(4, 4), 40, seed=0):
        assert pair.natural is not None
        assert pair.references[0].speaker == pair.scored.speaker == pair.natural.speaker
        assert pair.source_other.speaker == pair.source.speaker
        said = normalise_text(pair.source.recording.text)
        if said in {
            normalise_text(clip.recording.text) for clip in (*pair.references, pair.scored, pair.natural)
        }:
            assert pair.same_sentence is None
        else:
            assert pair.same_sentence is not None
            assert normalise_text(pair.same_sentence.recording.text) == said
            assert pair.same_sentence.speaker == pair.scored.speaker


def test_lengths_are_those_of_the_protocol() -> None:
    for pair in draw_pairs(made_up(8, 8, clips=20), 64, seed=0):
        assert 2 <= pair.source.seconds <= 8
        assert all(clip.seconds >= 3 for clip in (*pair.references, pair.scored, pair.source_other))


def test_drawing_is_seeded() -> None:
    clips = made_up(4, 4)
    assert draw_pairs(clips, 20, seed=5) == draw_pairs(list(reversed(clips)), 20, seed=5)
    assert draw_pairs(clips, 20, seed=5) != draw_pairs(clips, 20, seed=6)


def test_speakers_with_too_few_clips_are_left_out() -> None:
    few = [clip for clip in made_up(3, 3) if clip.speaker != "s00" or clip.path.stem in "01"]
    pairs = draw_pairs(few, 20, seed=0)
    assert "s00" not in {clip.speaker for pair in pairs for clip in natural(pair)}
    with pytest.raises(CorpusError, match="1 speakers with 3 clips"):
        draw_pairs(made_up(1, 0), 5, seed=0)


def test_speakers_of_the_training_are_never_evaluated_on() -> None:
    recordings = [clip.recording for clip in made_up(3, 3)]
    extra = {"legs": [{"speaker_names": ["s01"]}, {"speaker_names": ["s04"]}]}
    assert trained_speakers(extra) == {"s01", "s04"}
    kept, reasons = unseen_recordings(recordings, trained_speakers(extra))
    assert {recording.speaker for recording in kept} == {"s00", "s02", "s03", "s05"}
    assert set(reasons) == {"s01", "s04"}


def test_a_speaker_of_whom_one_clip_is_marked_train_is_left_out_whole() -> None:
    recordings = [
        Recording(path=Path(f"{name}/{i}.wav"), speaker=name, utterance=str(i), split=split)
        for name, splits in {"a": ("train", "valid"), "b": ("valid", "valid")}.items()
        for i, split in enumerate(splits)
    ]
    kept, _ = unseen_recordings(recordings)
    assert {recording.speaker for recording in kept} == {"b"}


def test_a_table_keeps_its_references_out_of_the_scores(tmp_path: Path) -> None:
    clips, table = made_up(2, 2), tmp_path / "pairs.csv"
    table.write_text("source,target,out\ns00/0.wav,s01/1.wav;s01/2.wav,a.wav\ns00/1.wav,s09/1.wav,b.wav\n")
    pairs, bad = read_pairs(table, Path("."), clips, tmp_path, seed=0)
    assert [clip.path.name for clip in pairs[0].references] == ["1.wav", "2.wav"]
    assert len({clip.path for clip in natural(pairs[0])}) == len(natural(pairs[0])) >= 7
    assert pairs[0].converted == tmp_path / "a.wav"
    assert list(bad) == ["b.wav"]
    assert "not among the readable recordings" in bad["b.wav"]


def test_two_rows_of_one_result_are_not_taken_for_one_pair(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("source,target,out\ns00/0.wav,s01/1.wav,a.wav\ns00/1.wav,s01/2.wav,a.wav\n")
    pairs, bad = read_pairs(table, Path("."), made_up(2, 2), tmp_path, seed=0)
    assert [pair.source.path.name for pair in pairs] == ["0.wav"]
    assert bad == {"a.wav (line 3)": "a.wav: line 2 has this result already"}


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("source,target\na,b\n")
    with pytest.raises(CorpusError, match="has no column out"):
        read_pairs(table, tmp_path, [], tmp_path, seed=0)


def test_sixty_pairs_cover_the_thirty_real_speakers(minivctk: Path) -> None:
    clips, bad = read_durations(list_recordings("vctk", minivctk))
    pairs = draw_pairs(clips, 60, seed=0)
    assert not bad
    assert len({pair.source.speaker for pair in pairs}) == len({pair.scored.speaker for pair in pairs}) == 30
    assert sum(bool(pair.cross_gender) for pair in pairs) == 30


def test_words_are_what_error_rates_compare() -> None:
    assert normalise_text(" It's, GOOD -- for\tme. ") == "it's good for me"
    assert normalise_text(None) == ""


def test_teachers_are_found_wherever_the_provenance_keeps_them() -> None:
    assert trained_by({"teachers": ["a"]}) == {"a"}
    assert trained_by({"training": {"teachers": ["b"], "legs": [{"teachers": ["c"]}, "odd"]}}) == {"b", "c"}
    assert trained_by({"training": "yes", "teachers": "not a list"}) == set()
