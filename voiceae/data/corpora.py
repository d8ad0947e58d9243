"""Corpora as lists of recordings: VCTK 0.92, LibriTTS, any folder of speakers, any table; and their splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from voiceae.errors import CorpusError
from voiceae.io.csvtable import find_named_file, read_table
from voiceae.io.filesystem import exists, is_dir
from voiceae.io.folders import READABLE, UnusedFile, find_audio_files, warn_unused_files

MICS = ("mic1", "mic2")
_VCTK_AUDIO = "wav48_silence_trimmed"
_VCTK_FILE = re.compile(r"(?P<utterance>.+)_(?P<mic>mic[12])")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One utterance of a corpus, before anything was read of it.

    Attributes:
        path: the audio file.
        speaker: name of the speaker.
        utterance: name of the utterance, unique for the speaker.
        split: "train", "valid_utterances", "valid_speakers" or "valid" where the corpus says so.
        text: what is said, where known.
        gender: "F" or "M", where known.
        root: number of the folder that it was found in, where there are several.
        group: name of its aligned group, see `voiceae.data.aligned`; empty for none.
    """

    path: Path
    speaker: str
    utterance: str
    split: str | None = None
    text: str | None = None
    gender: str | None = None
    root: int = 0
    group: str = ""


class SpeakerInfo(NamedTuple):
    """A line of a speaker table."""

    gender: str | None
    accent: str | None


def list_recordings(
    kind: str, root: str | Path, *, mic: str = "mic1", unused: list[UnusedFile] | None = None
) -> list[Recording]:
    """Recordings of a corpus in a fixed order: by speaker, utterance and path.

    Args:
        kind: one of `KINDS`.
        root: the corpus folder; for "csv" the table.
        mic: which microphone of VCTK, where both are there.
        unused: gets what lies there and is no recording of the corpus; a warning sums it up where none is given.

    Raises:
        CorpusError: when the layout is not what the kind expects, something cannot be read, or nothing is found.
    """
    if kind not in KINDS:
        raise CorpusError(f"{kind}: no such kind of corpus; use one of {', '.join(KINDS)}")
    if mic not in MICS:
        raise CorpusError(f"{mic}: no such microphone; use one of {', '.join(MICS)}")
    place, left = Path(root), list[UnusedFile]()
    try:
        if not exists(place):
            raise CorpusError(f"{root}: no such corpus; give the folder (or the table, for csv)")
        if is_dir(place) == (kind == "csv"):
            raise CorpusError(
                f"{root}: is {'a folder, csv wants a table' if kind == 'csv' else 'not a folder'}"
            )
        found = KINDS[kind](place, mic, left)
        recordings = sorted(found, key=lambda r: (r.speaker, r.utterance, r.path.as_posix()))
    except OSError as error:
        raise CorpusError(f"{error.filename or root}: cannot be read: {error.strerror}") from error
    if unused is not None:
        unused.extend(left)
    else:
        warn_unused_files(root, left)
    if not recordings:
        raise CorpusError(f"{root}: no recordings found; {_EXPECTED[kind]}")
    return recordings


def list_folders(
    kind: str, roots: Sequence[str | Path], *, mic: str = "mic1", unused: list[UnusedFile], first: int = 0
) -> list[Recording]:
    """Recordings of several corpora, by folder; equal names of speakers are one speaker.

    Args:
        kind: one of `KINDS`; only "folder" takes several.
        roots: their folders.
        mic: as for `list_recordings`.
        unused: as for `list_recordings`.
        first: number of the first folder.

    Raises:
        CorpusError: as `list_recordings`, and for several folders of a kind that takes one.
    """
    if kind != "folder" and len(roots) > 1:
        raise CorpusError(f"{kind}: takes one corpus, {len(roots)} were given; several are for folder")
    return [
        replace(each, root=number)
        for number, root in enumerate(roots, first)
        for each in list_recordings(kind, root, mic=mic, unused=unused)
    ]


def require_apart(roots: Sequence[str | Path]) -> None:
    """Refuse folders of which one is, or lies in, another: their recordings would count twice.

    Raises:
        CorpusError: for such folders.
    """
    real = [os.path.realpath(root) for root in roots]
    for place, inner in enumerate(real):
        for other, outer in enumerate(real):
            if other != place and Path(inner).is_relative_to(outer):
                raise CorpusError(f"{roots[place]}: is part of {roots[other]}; give each folder once")


def tell_apart(recordings: Iterable[Recording]) -> list[Recording]:
    """The same recordings, with other names for utterances of a name that an earlier folder has of the speaker.

    They end in @2 in the second folder, @3 in the third.
    """
    owner: dict[tuple[str, str], int] = {}
    result = []
    for each in recordings:
        theirs = owner.setdefault((each.speaker, each.utterance), each.root)
        name = each.utterance if theirs == each.root else f"{each.utterance}@{each.root + 1}"
        result.append(replace(each, utterance=name))
    return result


def vctk(root: Path, mic: str, unused: list[UnusedFile]) -> Iterator[Recording]:
    """VCTK 0.92: one microphone of each utterance, the other where that one is missing.

    The audio decides: speakers without text (p315), without one microphone (p280), with texts but no audio
    (p362) or without a line in `speaker-info.txt` keep every recording they have.
    """
    root = next(
        (place for place in (root, root / "VCTK-Corpus-0.92") if (place / _VCTK_AUDIO).is_dir()), root
    )
    if not (root / _VCTK_AUDIO).is_dir():
        raise CorpusError(f"{root}: has no {_VCTK_AUDIO}; {_EXPECTED['vctk']}")
    info = vctk_speakers(root / "speaker-info.txt")
    for speaker, paths in _by_speaker(root / _VCTK_AUDIO, unused).items():
        utterances: dict[str, dict[str, Path]] = defaultdict(dict)  # mic1 first, as the paths are sorted
        for path in paths:
            if match := _VCTK_FILE.fullmatch(path.stem):
                utterances[match["utterance"]][match["mic"]] = path
            else:
                unused.append(UnusedFile(path, "not named as VCTK's are"))
        for utterance, mics in sorted(utterances.items()):
            yield Recording(
                path=mics.get(mic) or next(iter(mics.values())),
                speaker=speaker,
                utterance=utterance,
                text=_text(root / "txt" / speaker / f"{utterance}.txt"),
                gender=info.get(speaker, SpeakerInfo(None, None)).gender,
            )


def vctk_speakers(path: Path) -> dict[str, SpeakerInfo]:
    """Gender and accent by speaker: columns ID, AGE, GENDER, ACCENTS, ...; all but ID may be missing."""
    table = {}
    for line in _lines(path):
        name, *rest = line.split() or [""]
        if not name or name.upper() == "ID":
            continue
        where = next((i for i, word in enumerate(rest[:2]) if word.upper() in ("F", "M")), None)
        gender = rest[where].upper() if where is not None else None
        accent = rest[where + 1] if where is not None and len(rest) > where + 1 else None
        table[f"p{name}" if name.isdigit() else name] = SpeakerInfo(gender, accent)
    return table


def libritts(root: Path, mic: str, unused: list[UnusedFile]) -> Iterator[Recording]:
    """LibriTTS: `<subset>/<speaker>/<chapter>/*.wav`; `root` may hold the subsets or be one of them."""
    root = next((place for place in (root, root / "LibriTTS", root / "LibriTTS_R") if _subsets(place)), root)
    subsets = _subsets(root)
    if not subsets:
        raise CorpusError(f"{root}: has no <subset>/<speaker>/<chapter> folders; {_EXPECTED['libritts']}")
    genders = _libritts_genders(root) or _libritts_genders(root.parent)
    for subset in subsets:
        for speaker, paths in _by_speaker(subset, unused, companions=(".txt", ".tsv")).items():
            for path in paths:
                yield Recording(
                    path=path,
                    speaker=speaker,
                    utterance=path.stem,
                    text=_text(path.with_suffix(".normalized.txt"))
                    or _text(path.with_suffix(".original.txt")),
                    gender=genders.get(speaker),
                )


def folder(root: Path, mic: str, unused: list[UnusedFile]) -> Iterator[Recording]:
    """Any folder: one subfolder a speaker, recordings at any depth below it."""
    for speaker, paths in _by_speaker(root, unused).items():
        for path in paths:
            utterance = path.relative_to(root / speaker).with_suffix("").as_posix()
            yield Recording(path=path, speaker=speaker, utterance=utterance)


def table(root: Path, mic: str, unused: list[UnusedFile]) -> Iterator[Recording]:
    """A table with columns path, speaker, optionally split, text, gender; paths are relative to it."""
    seen: dict[Path, int] = {}
    for row in read_table(root, ("path", "speaker"), "a table of recordings"):
        cells, line, name = row.cells, row.line, row.cells["path"]
        if not name or not cells["speaker"]:
            missing = "speaker" if name else "path"
            raise CorpusError(f"{root}: line {line} has no {missing}; {_EXPECTED['csv']}")
        if not Path(name).name:  # ".", "/"
            raise CorpusError(f"{root}: line {line}: path {name} is a folder; give an audio file")
        path = find_named_file(root.parent, name)
        if path in seen:
            raise CorpusError(f"{root}: {path} is listed twice, lines {seen[path]} and {line}; keep one")
        seen[path] = line
        gender = cells.get("gender", "")[:1].upper()
        yield Recording(
            path=path,
            speaker=cells["speaker"],
            utterance=Path(name).with_suffix("").as_posix(),
            split=cells.get("split") or None,
            text=cells.get("text") or None,
            gender=gender if gender in ("F", "M") else None,
        )


KINDS: dict[str, Callable[[Path, str, list[UnusedFile]], Iterable[Recording]]] = {
    "vctk": vctk,
    "libritts": libritts,
    "folder": folder,
    "csv": table,
}

_EXPECTED = {
    "vctk": f"VCTK 0.92 has {_VCTK_AUDIO}/<speaker>/<utterance>_mic1.flac (0.80: give its wav48 as folder)",
    "libritts": "LibriTTS has <subset>/<speaker>/<chapter>/*.wav with numbers for speaker and chapter",
    "folder": f"expected one subfolder a speaker, holding files of {', '.join(s[1:] for s in READABLE)}",
    "csv": "expected a header line with path,speaker and optionally split,text,gender",
}


def _subfolders(root: Path) -> list[Path]:
    return sorted(place for place in root.iterdir() if place.is_dir() and not place.name.startswith("."))


def _by_speaker(
    root: Path, unused: list[UnusedFile], companions: Sequence[str] = ()
) -> dict[str, list[Path]]:
    """Audio files by the subfolder that they are in, at whatever depth."""
    found = find_audio_files(root, companions)
    unused.extend(found.unused)
    speakers: dict[str, list[Path]] = defaultdict(list)
    for path in found.files:
        name, *inner = path.relative_to(root).parts
        if inner:
            speakers[name].append(path)
        else:
            unused.append(UnusedFile(path, "beside the speakers' folders"))
    return dict(sorted(speakers.items()))


def _subsets(root: Path) -> list[Path]:
    """Folders that hold numbered speakers with numbered chapters."""
    if not root.is_dir():
        return []
    return [place for place in (root, *_subfolders(root)) if _holds_numbered(place, depth=2)]


def _holds_numbered(place: Path, depth: int) -> bool:
    inner = [folder for folder in _subfolders(place) if folder.name.isdigit()]
    return bool(inner) and (depth == 1 or any(_holds_numbered(folder, depth - 1) for folder in inner))


def _libritts_genders(root: Path) -> dict[str, str]:
    """Gender by speaker from `speakers.tsv` (tabs) or `SPEAKERS.txt` (bars)."""
    genders = {}
    for line in (*_lines(root / "speakers.tsv"), *_lines(root / "SPEAKERS.txt")):
        cells = [cell.strip() for cell in re.split(r"[\t|]", line)]
        if len(cells) > 1 and cells[0].isdigit() and cells[1] in ("F", "M"):
            genders[cells[0]] = cells[1]
    return genders


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _text(path: Path) -> str | None:
    return " ".join(" ".join(_lines(path)).split()) or None


TRAIN, VALID_UTTERANCES, VALID_SPEAKERS = SPLITS = ("train", "valid_utterances", "valid_speakers")
_MOST_SPEAKERS = (
    8  # held out by default, a tenth of a small corpus: enough for 56 pairs of different speakers
)


def assign_splits(
    recordings: Sequence[Recording],
    *,
    valid_speakers: int | None = None,
    valid_utterances: float = 0.02,
    seed: int = 0,
    trained: Collection[str] = (),
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
        trained: speakers who are not held out, since others depend on them.

    Raises:
        CorpusError: when nobody would be left to train on, or the corpus's own splits contradict each other.
    """
    if any(recording.split for recording in recordings):
        return _given_splits(recordings)
    speakers = sorted({recording.speaker for recording in recordings} - set(trained))
    wanted = min(_MOST_SPEAKERS, len(speakers) // 10) if valid_speakers is None else valid_speakers
    if not 0 <= wanted < len(speakers) + bool(trained):
        raise CorpusError(
            f"{wanted} speakers to hold out of {len(speakers)}: at least one must be left to train on"
        )
    if not 0 <= valid_utterances <= 0.5:
        raise CorpusError(f"{valid_utterances} of the utterances to hold out: give a part between 0 and 0.5")
    # All speakers, shuffled within each gender and taken from the genders in turn.
    by_gender: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        if recording.speaker not in trained:
            by_gender[recording.gender or ""].add(recording.speaker)
    ranked = sorted(
        (rank, name) for names in by_gender.values() for rank, name in enumerate(shuffled(names, seed))
    )
    held_speakers = {name for _, name in ranked[:wanted]}
    # The utterances of the others, in an order that leaves each speaker the first of his own.
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for recording in recordings:
        if recording.speaker not in held_speakers:
            by_speaker[recording.speaker].append(_name(recording))
    free = [name for names in by_speaker.values() for name in shuffled(names, seed)[1:]]
    held_count = round(valid_utterances * sum(map(len, by_speaker.values())))
    held = set(shuffled(free, seed)[: max(1 if valid_utterances else 0, held_count)])
    result = []
    for recording in recordings:
        split = VALID_UTTERANCES if _name(recording) in held else TRAIN
        split = VALID_SPEAKERS if recording.speaker in held_speakers else split
        result.append(replace(recording, split=split))
    return result


def _name(recording: Recording) -> str:
    return f"{recording.speaker}/{recording.utterance}{recording.path.suffix}"


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Names in the order of a hash of seed and name."""
    return sorted(names, key=lambda name: hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest())


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
