from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from voiceae.data.corpora import Recording, assign_splits
from voiceae.errors import CorpusError


def corpus(speakers: int = 20, utterances: int = 30) -> list[Recording]:
    return [
        Recording(
            path=Path(f"s{s}/{u}.wav"),
            speaker=f"s{s}",
            utterance=str(u),
            gender="F" if s < speakers // 4 else "M",
        )
        for s in range(speakers)
        for u in range(utterances)
    ]


def chosen(recordings: list[Recording], split: str) -> set[Path]:
    return {recording.path for recording in recordings if recording.split == split}


def test_splits_are_disjoint_and_as_large_as_asked() -> None:
    split = assign_splits(corpus(), valid_speakers=4, valid_utterances=0.1, seed=1)
    assert [recording.path for recording in split] == [recording.path for recording in corpus()]
    assert Counter(r.split for r in split) == {"train": 432, "valid_utterances": 48, "valid_speakers": 120}
    held = {recording.speaker for recording in split if recording.split == "valid_speakers"}
    assert len(held) == 4 and held.isdisjoint(r.speaker for r in split if r.split != "valid_speakers")


def test_held_out_speakers_are_of_both_genders() -> None:
    split = assign_splits(corpus(), valid_speakers=4, seed=3)
    genders = {r.speaker: r.gender for r in split if r.split == "valid_speakers"}
    assert Counter(genders.values()) == {"F": 2, "M": 2}


def test_the_seed_decides() -> None:
    first, again, other = (assign_splits(corpus(), valid_utterances=0.1, seed=seed) for seed in (5, 5, 6))
    assert first == again
    for name in ("valid_utterances", "valid_speakers"):
        assert chosen(first, name) != chosen(other, name)


def test_the_draw_does_not_depend_on_the_order() -> None:
    forward = assign_splits(corpus(), valid_utterances=0.1)
    backward = assign_splits(corpus()[::-1], valid_utterances=0.1)
    assert forward == sorted(backward, key=lambda r: forward.index(r))


def test_nobody_loses_the_last_utterance() -> None:
    few = corpus(speakers=6, utterances=2)
    split = assign_splits(few, valid_speakers=0, valid_utterances=0.5)
    assert Counter(r.speaker for r in split if r.split == "train") == {f"s{s}": 1 for s in range(6)}


@pytest.mark.parametrize(
    ("speakers", "utterances", "wanted"), [(2, 5, 1), (1, 2, 1), (3, 1, 0), (20, 30, 11)]
)
def test_a_small_corpus_is_validated_on_as_well(speakers: int, utterances: int, wanted: int) -> None:
    split = assign_splits(corpus(speakers, utterances))
    assert len(chosen(split, "valid_utterances")) == wanted
    assert {recording.speaker for recording in split if recording.split == "train"}
    none = assign_splits(corpus(speakers, utterances), valid_utterances=0)
    assert not chosen(none, "valid_utterances")


@pytest.mark.parametrize(("speakers", "wanted"), [(1, 0), (9, 0), (10, 1), (30, 3), (400, 8)])
def test_default_number_of_held_out_speakers(speakers: int, wanted: int) -> None:
    split = assign_splits(corpus(speakers, 1))
    assert len({r.speaker for r in split if r.split == "valid_speakers"}) == wanted


def test_what_cannot_be_held_out() -> None:
    with pytest.raises(CorpusError, match="20 speakers to hold out of 20"):
        assign_splits(corpus(), valid_speakers=20)
    with pytest.raises(CorpusError, match=r"between 0 and 0\.5"):
        assign_splits(corpus(), valid_utterances=0.9)


def given(*rows: tuple[str, str | None]) -> list[Recording]:
    return [
        Recording(path=Path(f"{i}.wav"), speaker=speaker, utterance=str(i), split=split)
        for i, (speaker, split) in enumerate(rows)
    ]


def test_splits_of_the_corpus_are_kept() -> None:
    rows = given(("a", "train"), ("a", "valid"), ("b", "valid"), ("a", None), ("c", "valid_speakers"))
    found = [recording.split for recording in assign_splits(rows, valid_speakers=1)]
    assert found == ["train", "valid_utterances", "valid_speakers", "train", "valid_speakers"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            (("a", "train"), ("b", "test")),
            "split test: unknown; use train, valid_utterances, valid_speakers or valid",
        ),
        ((("a", "train"), ("a", "valid_speakers")), "speaker a is in train"),
        ((("a", "train"), ("b", "valid_utterances")), "speaker b is not in train"),
        ((("a", "valid"),), "no recording has the split train"),
    ],
)
def test_splits_that_contradict_each_other(rows: tuple[tuple[str, str | None], ...], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        assign_splits(given(*rows))


def test_input_is_not_changed() -> None:
    recordings = corpus(2, 2)
    assign_splits(recordings)
    assert recordings == [replace(recording) for recording in corpus(2, 2)]
