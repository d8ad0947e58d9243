"""Which conversions are evaluated, and which natural clips they are compared with."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from voiceae.conversion.batch import read_pair_rows
from voiceae.data.corpora import Recording, list_recordings
from voiceae.errors import AudioError, CorpusError
from voiceae.io.folders import UnusedFile

SOURCE_SECONDS = (2.0, 8.0)  # a recogniser errs on less; more costs time and tells nothing new
REFERENCE_SECONDS = 3.0  # two windows of the speaker scorer (1.6 s each)
CANDIDATES = 4  # of which the longest is taken: a long clip that is still drawn
MIN_CLIPS = 3  # source, reference and one to compare with

PROTOCOL = (
    f"Sources are drawn from clips of {SOURCE_SECONDS[0]:g} to {SOURCE_SECONDS[1]:g} s, or the nearest. "
    f"A clip that stands for a speaker (a reference of the model, or compared with) is the longest of {CANDIDATES} "
    f"drawn from the speaker's other clips of at least {REFERENCE_SECONDS:g} s (or the longest there is). "
    "The model is given one reference of the target. All clips are scored whole, at 16 kHz, at the level they have."
)
"""How clips are chosen and how long they are."""


@dataclass(frozen=True)
class Clip:
    """A recording with its duration in seconds."""

    recording: Recording
    seconds: float

    @property
    def path(self) -> Path:
        """Path of the audio file."""
        return self.recording.path

    @property
    def speaker(self) -> str:
        """Name of the speaker."""
        return self.recording.speaker


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One conversion, and the natural clips it is compared with; no two of them are the same clip.

    Attributes:
        name: of the pair, unique.
        source: what is said.
        references: the target's clips that the model is given.
        scored: another clip of the target, which similarity is measured against.
        natural: a third clip of the target, which shows what similarity nature reaches.
        source_other: another clip of the source's speaker, which similarity to it is measured against.
        source_reference: a third clip of the source's speaker, the reference of reconstruction.
        same_sentence: one more clip of the target, in which it says the same, where there is one.
        cross_gender: whether the sexes differ; None where one is not known.
        converted: the result, where it was made elsewhere.
    """

    name: str
    source: Clip
    references: tuple[Clip, ...]
    scored: Clip
    natural: Clip | None
    source_other: Clip
    source_reference: Clip | None
    same_sentence: Clip | None = None
    cross_gender: bool | None = None
    converted: Path | None = None


def unseen_recordings(
    recordings: Iterable[Recording], trained_on: Iterable[str] = ()
) -> tuple[list[Recording], dict[str, str]]:
    """Recordings that a model was not trained on, and the reason of each speaker that was left out.

    Args:
        recordings: of a corpus; those that its table calls "train" are left out too.
        trained_on: names of speakers.
    """
    recordings, known = list(recordings), set(trained_on)
    seen = [each.speaker for each in recordings if each.speaker in known or each.split == "train"]
    reasons = {name: f"{name}: the model was trained on this speaker" for name in seen}
    return [each for each in recordings if each.speaker not in reasons], reasons


def held_out_clips(kind: str, corpus: Path, trained_on: Iterable[str]) -> tuple[list[Clip], dict[str, str]]:
    """Clips of a corpus that a model may be evaluated on, and why others are left out.

    Args:
        kind: layout of the corpus, as for `list_recordings`.
        corpus: folder or table.
        trained_on: names of speakers that the model knows.

    Raises:
        CorpusError: when no clip is left.
    """
    unused: list[UnusedFile] = []
    kept, reasons = unseen_recordings(list_recordings(kind, corpus, unused=unused), trained_on)
    if not kept:
        raise CorpusError(f"{corpus}: the model was trained on all its speakers; evaluate on others")
    clips, bad = read_durations(kept)
    others = {str(each.path): f"{each.path}: not used: {each.why}" for each in unused}
    return clips, {**reasons, **bad, **others}


def trained_speakers(extra: Mapping[str, Any]) -> set[str]:
    """Speakers that a model file's provenance says it was trained on, over all legs of its training."""
    return _over_all_legs(extra, "speaker_names")


def trained_by(extra: Mapping[str, Any]) -> set[str]:
    """Networks that a model file's provenance lists as its `teachers`, over all legs of its training."""
    return _over_all_legs(extra, "teachers")


def _over_all_legs(extra: Mapping[str, Any], name: str) -> set[str]:
    """Names in a list of a provenance, which lies in the open, in its training, or in a leg of either."""
    training = extra.get("training")
    holders = [extra, training] if isinstance(training, Mapping) else [extra]
    legs = [leg for holder in holders for leg in _listed(holder, "legs") if isinstance(leg, Mapping)]
    return {str(each) for leg in (*holders, *legs) for each in _listed(leg, name)}


def _listed(values: Mapping[str, Any], name: str) -> Sequence[Any]:
    """A list of a file's provenance, which may hold anything."""
    found = values.get(name, ())
    return found if isinstance(found, list | tuple) else ()


def read_durations(recordings: Iterable[Recording]) -> tuple[list[Clip], dict[str, str]]:
    """Read the durations of recordings: clips, and the reason of each that cannot be read, by path."""
    import soundfile

    clips, bad = [], {}
    for recording in recordings:
        try:
            clips.append(Clip(recording, float(soundfile.info(os.fsencode(recording.path)).duration)))
        except (RuntimeError, OSError) as error:
            bad[str(recording.path)] = f"cannot be read: {error}"
    return clips, bad


def group_by_speaker(clips: Iterable[Clip], least: int = MIN_CLIPS) -> dict[str, list[Clip]]:
    """Clips of each speaker, sorted by path; speakers with too few to draw from are left out."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.path.as_posix()):
        groups[clip.speaker].append(clip)
    return {name: groups[name] for name in sorted(groups) if len(groups[name]) >= least}


def draw_pairs(clips: Iterable[Clip], n_pairs: int, seed: int) -> list[Pair]:
    """Draw pairs: every speaker as often source and target as any other, half of them across the sexes.

    Args:
        clips: of all speakers that may be used.
        n_pairs: how many.
        seed: of everything that is drawn.

    Raises:
        CorpusError: when fewer than two speakers have the clips that a pair needs.
    """
    rng = np.random.default_rng(seed)
    groups = group_by_speaker(clips)
    if len(groups) < 2:
        raise CorpusError(f"{len(groups)} speakers with {MIN_CLIPS} clips or more; pairs need at least two")
    genders = {name: group[0].recording.gender for name, group in groups.items()}
    low, high = SOURCE_SECONDS
    pairs: list[Pair] = []
    for number in range(-(-n_pairs // len(groups))):
        for source, target in _draw_round(genders, number, rng)[: n_pairs - len(pairs)]:
            fitting = [clip for clip in groups[source] if low <= clip.seconds <= high]
            if fitting:
                clip = fitting[rng.integers(len(fitting))]
            else:
                clip = min(groups[source], key=lambda clip: max(low - clip.seconds, clip.seconds - high))
            pairs.append(make_pair(f"{len(pairs):03d}", clip, (), groups, target, rng))
    return pairs


def make_pair(
    name: str,
    source: Clip,
    references: Sequence[Clip],
    groups: Mapping[str, Sequence[Clip]],
    target: str,
    rng: np.random.Generator,
    converted: Path | None = None,
) -> Pair:
    """Choose the clips around a source; `references` are drawn when empty.

    Raises:
        CorpusError: when a speaker has no clip left to compare with.
    """
    chosen: list[Clip | None] = []
    used = [source, *references]
    # In the order of need: whoever has few clips lacks the last of them.
    speakers = [target, source.speaker, target, source.speaker]
    for speaker in speakers if references else [target, *speakers]:
        clip = _draw_reference(groups.get(speaker, ()), used, rng)
        chosen.append(clip)
        used += [clip] if clip else []
    if not references:
        references = [clip for clip in chosen[:1] if clip]
    scored, source_other, natural, source_reference = chosen[-4:]
    if not references or scored is None or source_other is None:
        who = target if scored is None else source.speaker
        raise CorpusError(f"{who}: has no clip that is neither source nor reference; nothing to compare with")
    text = normalise_text(source.recording.text)
    readings = (clip for clip in groups[target] if normalise_text(clip.recording.text) == text)
    same_sentence = (clip for clip in readings if text and clip not in used)
    genders = (source.recording.gender, scored.recording.gender)
    return Pair(
        name=name,
        source=source,
        references=tuple(references),
        scored=scored,
        natural=natural,
        source_other=source_other,
        source_reference=source_reference,
        same_sentence=next(same_sentence, None),
        cross_gender=genders[0] != genders[1] if all(genders) else None,
        converted=converted,
    )


def read_pairs(
    path: Path, root: Path, clips: Iterable[Clip], converted: Path | None, seed: int
) -> tuple[list[Pair], dict[str, str]]:
    """Pairs of a table: those that can be evaluated, and the reason of each that cannot, by row.

    Args:
        path: CSV with columns source and target (several joined by ';'), and out where `converted` is given.
        root: folder that sources and targets are relative to.
        clips: of the corpus; what is in the table must be among them, for its speakers to be known.
        converted: folder of the results, or None.
        seed: of the choice of clips to compare with.

    Raises:
        CorpusError: when the table cannot be read or lacks a column.
    """
    rows = read_pair_rows(path, ("source", "target", "out") if converted else ("source", "target"))
    everything = list(clips)
    known = {clip.path.resolve(): clip for clip in everything}
    groups, rng = group_by_speaker(everything, least=2), np.random.default_rng(seed)
    pairs: list[Pair] = []
    bad: dict[str, str] = {}
    taken: dict[str, int] = {}
    for number, row in enumerate(rows):
        name = row.out or f"{number:03d}"
        if name in taken:  # figures and waves of a pair go by its name
            bad[f"{name} (line {row.line})"] = f"{name}: line {taken[name]} has this result already"
            continue
        taken[name] = row.line
        try:
            source = _find(known, root / row.source)
            references = [_find(known, root / each) for each in row.targets or ("",)]
            result = converted / row.out if converted else None
            pairs.append(make_pair(name, source, references, groups, references[0].speaker, rng, result))
        except (AudioError, CorpusError) as error:
            bad[name] = str(error)
    return pairs, bad


def _find(known: Mapping[Path, Clip], path: Path) -> Clip:
    clip = known.get(path.resolve())
    if clip is None:
        raise AudioError(f"{path}: is not among the readable recordings of the corpus")
    return clip


def _draw_reference(clips: Sequence[Clip], used: Sequence[Clip], rng: np.random.Generator) -> Clip | None:
    """The longest of some drawn clips that are long enough, or the longest there is; None where all are used."""
    free = [clip for clip in clips if clip not in used]
    long = [clip for clip in free if clip.seconds >= REFERENCE_SECONDS]
    if not long:
        return max(free, key=lambda clip: clip.seconds, default=None)
    drawn = rng.permutation(len(long))[:CANDIDATES]
    return max((long[index] for index in drawn), key=lambda clip: clip.seconds)


def normalise_text(text: str | None) -> str:
    """Letters, digits and apostrophes in lower case, single spaces: what error rates compare."""
    kept = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in (text or "").lower())
    return " ".join(kept.split())


def _draw_round(
    genders: Mapping[str, str | None], number: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Every speaker once as source and once as target, as near as can be half of them across the sexes."""
    women, men = (
        [str(n) for n in rng.permutation([n for n in genders if genders[n] == sex])] for sex in "FM"
    )
    # Half of all pairs cross: each couple of a woman and a man gives two of them, hence a quarter of the speakers.
    quarter = (len(women) + len(men)) / 4
    couples = int(quarter * (number + 1)) - int(quarter * number)
    # One left over of a sex could be paired with nobody within it.
    possible = [n for n in range(min(len(women), len(men)) + 1) if 1 not in (len(women) - n, len(men) - n)]
    if not all(genders.values()) or max(possible, default=0) == 0:
        return _cycle([str(name) for name in rng.permutation(list(genders))])
    across_count = min(possible, key=lambda n: abs(n - couples))
    across = list(zip(women[:across_count], men[:across_count], strict=True))
    across += [(man, woman) for woman, man in across]
    within = _cycle(women[across_count:]) + _cycle(men[across_count:])
    lists = ([each[index] for index in rng.permutation(len(each))] for each in (across, within))
    return [pair for both in zip_longest(*lists) for pair in both if pair is not None]


def _cycle(names: list[str]) -> list[tuple[str, str]]:
    """Each name with the next, the last with the first: nobody with themselves, of two or more."""
    return list(zip(names, names[1:] + names[:1], strict=True))
