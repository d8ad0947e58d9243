"""Which recording serves what: training, held-out speakers, held-out utterances of the other speakers."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from voiceae.data.corpora import Recording
from voiceae.errors import CorpusError

TRAIN, VALID_UTTERANCES, VALID_SPEAKERS = SPLITS = ("train", "valid_utterances", "valid_speakers")
_MOST_SPEAKERS = 8


def assign_splits(
    recordings: Sequence[Recording],
    *,
    valid_speakers: int | None = None,
    valid_utterances: float = 0.02,
    seed: int = 0,
) -> list[Recording]:
    """The same recordings, each with its split.

    A corpus that brings splits keeps them. Otherwise speakers are held out in turn from each gender, then
    utterances of the speakers left, never the last one of any; at least one, where a part is asked for and some
    speaker has two, so that small corpora can be validated on as well. The draw orders names by a hash of seed and
    name: it does not depend on the machine or on library versions.

    Args:
        recordings: a corpus.
        valid_speakers: speakers to hold out; by default a tenth of them, at most 8.
        valid_utterances: part of the remaining utterances to hold out, 0 to 0.5.
        seed: of the draw.

    Raises:
        CorpusError: when nobody would be left to train on, or the corpus's own splits contradict each other.
    """
    if any(recording.split for recording in recordings):
        return _given_splits(recordings)
    speakers = sorted({recording.speaker for recording in recordings})
    wanted = min(_MOST_SPEAKERS, len(speakers) // 10) if valid_speakers is None else valid_speakers
    if not 0 <= wanted < len(speakers):
        raise CorpusError(
            f"{wanted} speakers to hold out of {len(speakers)}: at least one must be left to train on"
        )
    if not 0 <= valid_utterances <= 0.5:
        raise CorpusError(f"{valid_utterances} of the utterances to hold out: give a part between 0 and 0.5")
    held_speakers = set(_draw_speakers(recordings, seed)[:wanted])
    seen = [recording for recording in recordings if recording.speaker not in held_speakers]
    least = 1 if valid_utterances else 0
    held = _draw_utterances(seen, max(least, round(valid_utterances * len(seen))), seed)
    return [replace(recording, split=_split(recording, held_speakers, held)) for recording in recordings]


def _split(recording: Recording, held_speakers: set[str], held: set[str]) -> str:
    if recording.speaker in held_speakers:
        return VALID_SPEAKERS
    return VALID_UTTERANCES if _name(recording) in held else TRAIN


def _name(recording: Recording) -> str:
    return f"{recording.speaker}/{recording.utterance}{recording.path.suffix}"


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest())


def _draw_speakers(recordings: Sequence[Recording], seed: int) -> list[str]:
    """All speakers, shuffled within each gender and taken from the genders in turn."""
    by_gender: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        by_gender[recording.gender or ""].add(recording.speaker)
    ranked = [
        (rank, name) for names in by_gender.values() for rank, name in enumerate(_shuffled(names, seed))
    ]
    return [name for _, name in sorted(ranked)]


def _draw_utterances(recordings: Sequence[Recording], wanted: int, seed: int) -> set[str]:
    """Names held out, in an order that leaves each speaker the first of his own."""
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for recording in recordings:
        by_speaker[recording.speaker].append(_name(recording))
    free = [name for names in by_speaker.values() for name in _shuffled(names, seed)[1:]]
    return set(_shuffled(free, seed)[:wanted])


def _given_splits(recordings: Sequence[Recording]) -> list[Recording]:
    """Splits of the corpus itself: empty means train, "valid" becomes whichever of the two it is."""
    odd = sorted({recording.split for recording in recordings if recording.split} - {*SPLITS, "valid"})
    if odd:
        raise CorpusError(f"split {', '.join(odd)}: unknown; use {', '.join(SPLITS)} or valid")
    trained = {recording.speaker for recording in recordings if recording.split in (None, TRAIN)}
    named = {True: VALID_UTTERANCES, False: VALID_SPEAKERS}
    result = []
    for recording in recordings:
        split = recording.split or TRAIN
        split = named[recording.speaker in trained] if split == "valid" else split
        if split != TRAIN and split != named[recording.speaker in trained]:
            place = "is" if recording.speaker in trained else "is not"
            raise CorpusError(
                f"{recording.path}: split {split}, but speaker {recording.speaker} {place} in train"
            )
        result.append(replace(recording, split=split))
    if not trained:
        raise CorpusError("no recording has the split train; at least one must be left to train on")
    return result
