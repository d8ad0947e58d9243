"""The feature store: mels of a corpus as memory-mapped shards, their table, and the plan by which a store is known."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from voiceae.data.corpora import SPLITS, TRAIN, Recording
from voiceae.data.shards import SHARDS, ShardReader
from voiceae.errors import OutputError, StoreError
from voiceae.io.filesystem import atomic_path, exists, explain, is_dir, is_file
from voiceae.io.locks import lock_file, locked
from voiceae.specs import AudioSpec

FORMAT = 1
STORE, PLAN = "store.json", "prepare.json"
TABLE, REPORT, STATISTICS = "utterances.csv", "report.csv", "statistics.npz"
SOURCES, WAVES = "sources.csv", "waves"
_REMEDY = "prepare it again with --force"


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One row of the utterance table.

    Attributes:
        index: row number.
        speaker: name of the speaker.
        utterance: name of the utterance.
        split: "train", "valid_utterances" or "valid_speakers".
        path: the audio file, relative to its corpus (`FeatureStore.audio_path` resolves it).
        shard: number of the shard that holds its frames.
        start: first frame within the shard.
        frames: number of frames.
        seconds: duration after trimming.
        gender: "F", "M" or empty.
        text: what is said, or empty.
        root: number of the corpus among those of the store.
        group: name of the aligned group, whose members have equally many frames, in step; empty for none.
        first_sample: sample of the recording, at the store's rate, that its frames begin with.
        band: highest frequency that the recording holds, Hz, at most half the store's rate; the mel's `f_max` where a
            store is older than this column.
    """

    index: int
    speaker: str
    utterance: str
    split: str
    path: str
    shard: int
    start: int
    frames: int
    seconds: float
    gender: str = ""
    text: str = ""
    root: int = 0
    group: str = ""
    first_sample: int = 0
    band: float = 0.0


COLUMNS = tuple(field.name for field in fields(Utterance))
_LATER = ("root", "group", "first_sample", "band")  # columns that older stores have not


@dataclass(frozen=True)
class FeatureStore:
    """A prepared corpus, opened.

    Attributes:
        path: the store folder.
        spec: the mel contract.
        utterances: all rows, `utterances[i].index == i`.
        mean: (M,) float32, per-bin mean of the training frames.
        std: (M,) float32, per-bin standard deviation of the training frames.
        shards: the memory-mapped (frames, M) float16 arrays, opened as they are asked for.
        info: everything `store.json` says.
    """

    path: Path
    spec: AudioSpec
    utterances: Sequence[Utterance]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    shards: Sequence[NDArray[np.float16]]
    info: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> FeatureStore:
        """Open a store; frames are read only when they are asked for.

        Raises:
            StoreError: when it is missing, unfinished, damaged or from a newer format.
        """
        root = Path(path)
        info = _read_info(root)
        try:
            spec = AudioSpec.from_dict(info["spec"])
            lengths = [int(frames) for frames in info["shard_frames"]]
            shards = ShardReader(root, lengths, spec.n_mels)
            utterances = _read_table(root / TABLE, spec)
            mean, std = _read_statistics(root / STATISTICS, spec)
            lost = [u for u in utterances if u.start < 0 or u.start + u.frames > lengths[u.shard]]
            wrong = (
                lost or len(utterances) != info["utterances"] or {u.split for u in utterances} - set(SPLITS)
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreError(f"{root}: damaged feature store ({error}); {_REMEDY}") from None
        if wrong:
            raise StoreError(f"{root / TABLE}: does not fit the shards; {_REMEDY}")
        return cls(root, spec, utterances, mean, std, shards, info)

    @property
    def speakers(self) -> list[str]:
        """Names of the training speakers, sorted."""
        return sorted({utterance.speaker for utterance in self.split(TRAIN)})

    def split(self, name: str) -> list[Utterance]:
        """Utterances of one split.

        Raises:
            StoreError: for a split that is not one of `SPLITS`.
        """
        if name not in SPLITS:
            raise StoreError(f"{name}: no such split; use one of {', '.join(SPLITS)}")
        return [utterance for utterance in self.utterances if utterance.split == name]

    def mel(self, index: int) -> NDArray[np.float16]:
        """Log-mel of an utterance: -> (T, M) float16, a view of the file."""
        utterance = self.utterances[index]
        return self.shards[utterance.shard][utterance.start : utterance.start + utterance.frames]

    def audio_path(self, index: int) -> Path:
        """The recording an utterance was made from, where the corpus lay when it was prepared."""
        utterance = self.utterances[index]
        return corpus_roots(self.info)[utterance.root] / utterance.path


def corpus_roots(info: dict[str, Any]) -> list[Path]:
    """Folders of the corpora, by what a store says of itself."""
    return [Path(root) for root in (info["corpus"], *info.get("other_corpora", ()))]


def _read_info(root: Path) -> dict[str, Any]:
    path = root / STORE
    if not is_file(path):
        if not exists(root):
            raise StoreError(f"{root}: no such feature store; make it with voiceae prepare")
        begun = is_file(root / PLAN)
        state = "is not finished; run the same prepare again" if begun else "is no feature store"
        raise StoreError(f"{root}: {state} (it has no {STORE})")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = int(info["format"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{path}: damaged; {_REMEDY}") from None
    if version > FORMAT:
        raise StoreError(f"{path}: is of format {version}, known are up to {FORMAT}; install a newer voiceae")
    return dict(info)


def _read_table(path: Path, spec: AudioSpec) -> list[Utterance]:
    whole = ("index", "shard", "start", "frames", "root", "first_sample")
    kinds: dict[str, Callable[[str], Any]] = dict.fromkeys(whole, int)
    kinds |= {"seconds": float, "band": lambda cell: float(cell) or spec.f_max}
    kinds |= dict.fromkeys(("speaker", "split", "gender", "group"), sys.intern)  # few, and said in every row
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file, strict=True)
        places = {name: place for place, name in enumerate(next(rows, ()))}
        later: dict[str, Any] = {} if "band" in places else {"band": spec.f_max}
        known = [name for name in COLUMNS if name in places or name not in _LATER]
        readers = [(name, kinds.get(name, str), places[name]) for name in known]
        utterances = [
            Utterance(**{name: kind(row[place]) for name, kind, place in readers}, **later) for row in rows
        ]
    if any(utterance.index != place for place, utterance in enumerate(utterances)):
        raise ValueError(f"{path.name} is not in order")
    return utterances


def _read_statistics(path: Path, spec: AudioSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, std = file["mean"], file["std"]
    except Exception as error:  # zipfile and zlib have their own families
        raise ValueError(f"{path.name}: {error}") from None
    if {mean.shape, std.shape} != {(spec.n_mels,)} or not (np.isfinite(mean).all() and (std > 0).all()):
        raise ValueError(f"{path.name} does not hold {spec.n_mels} finite means and positive deviations")
    return mean.astype(np.float32), std.astype(np.float32)


RECORDS = "records"  # what is known of finished shards, until the store is complete


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What decides the content of a store, besides the corpus.

    Attributes:
        valid_speakers: speakers held out; None for a tenth of them, at most 8.
        valid_utterances: part of the utterances of the other speakers held out.
        seed: of the splits.
        mic: microphone of VCTK.
        trim: cut silence at both ends.
        min_seconds: recordings shorter than this are skipped.
    """

    valid_speakers: int | None = None
    valid_utterances: float = 0.02
    seed: int = 0
    mic: str = "mic1"
    trim: bool = True
    min_seconds: float = 0.5


def make_plan(
    kind: str,
    roots: Sequence[Path],
    recordings: Sequence[Recording],
    spec: AudioSpec,
    options: PrepareOptions,
) -> dict[str, Any]:
    """What the store is made of; two plans that agree make the same store."""
    listing = hashlib.sha256()
    for recording in recordings:
        size = -1  # of what cannot be looked at, which the report tells
        with suppress(OSError):
            size = recording.path.stat().st_size if recording.path.is_file() else -1
        name = relative_path(recording.path, roots[recording.root])
        row = [name, size, recording.speaker, recording.split, recording.text]
        row += [recording.utterance, recording.gender]
        # Of one folder without groups a plan is the one that older versions make.
        row += [recording.root, recording.group] if recording.root or recording.group else []
        listing.update(json.dumps(row).encode())
    return {
        "format": FORMAT,
        "kind": kind,
        "recordings": len(recordings),
        "listing": listing.hexdigest(),
        "spec": spec.to_dict(),
        "options": asdict(options),
    }


def plan_digest(plan: dict[str, Any]) -> str:
    """Names a plan: what is made beside a store, of the same recordings, carries it."""
    known = {name: plan[name] for name in ("format", "kind", "recordings", "listing", "spec", "options")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def relative_path(path: Path, root: Path) -> str:
    """Path below the corpus, links left as they are; absolute for what lies elsewhere."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()


@contextmanager
def store_lock(out: Path) -> Iterator[None]:
    """One writer at a time for a store, whose folder is made.

    Raises:
        StoreError: when `out` is a file, or holds something else.
        OutputError: when the folder cannot be made, or another process is writing the store.
    """
    require_ours(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {explain(error)}") from error
    with locked(out, "wait until that prepare has ended, or give another --out"):
        yield


def require_ours(out: Path) -> None:
    """Refuse a place that no store can be in; nothing is touched.

    Raises:
        StoreError: when it is a file, or a folder with something else in it.
    """
    if exists(out) and not is_dir(out):
        raise StoreError(f"{out}: is a file; give a folder for the store")
    if not exists(out) or _read_plan(out / PLAN) is not None:
        return
    # By name: the lock's path is the real one, whatever way `out` is written.
    if {path.name for path in out.iterdir()} - {path.name for path in (*_leftovers(out), lock_file(out))}:
        raise StoreError(f"{out}: holds something that is no feature store; give another --out")


def is_finished(out: Path, plan: dict[str, Any]) -> bool:
    """Whether a store of this plan is complete, so that there is nothing to do."""
    return is_file(out / STORE) and not exists(out / RECORDS) and _read_plan(out / PLAN) == plan


def claim(out: Path, plan: dict[str, Any], force: bool) -> None:
    """Make `out`, which is locked, ours: new, begun with the same plan, or cleared by force."""
    require_ours(out)
    theirs = _read_plan(out / PLAN)
    for leftover in _leftovers(out):
        leftover.unlink()
    if theirs is not None and theirs != plan and not force:
        odd = ", ".join(_differences(theirs, plan))
        raise StoreError(f"{out}: was begun with another {odd}; use --force to start anew, or another --out")
    if theirs is not None and force:
        # The plan goes last: until then a killed run is still known for a store.
        (out / STORE).unlink(missing_ok=True)
        for folder in (SHARDS, RECORDS, WAVES):
            shutil.rmtree(out / folder, ignore_errors=True)
        for name in (TABLE, REPORT, STATISTICS, SOURCES, PLAN):
            (out / name).unlink(missing_ok=True)
    if _read_plan(out / PLAN) is None:
        with atomic_path(out / PLAN) as temporary:
            temporary.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")


def _leftovers(out: Path) -> list[Path]:
    """Temporary files of a killed run; of a running one there are none while its store is locked."""
    patterns = [f".{Path(name).stem}-*" for name in (PLAN, STORE, TABLE, REPORT, STATISTICS, SOURCES)]
    patterns += [f"{SHARDS}/.mel-*", f"{RECORDS}/.*-*", f"{WAVES}/.wave-*"]
    return [path for pattern in patterns for path in out.glob(pattern)]


def _read_plan(path: Path) -> dict[str, Any] | None:
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return plan if {"format", "listing", "options"} <= set(plan) else None


def open_table(path: Path, mode: Literal["r", "w"]) -> TextIO:
    """A table of a store, in UTF-8; names of files that are none keep their bytes."""
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")


Source = tuple[int, int, str]


def read_sources(path: Path) -> dict[tuple[int, str], Source]:
    """Size, time and digest of the recordings of a store by root and path; none where it is older than this list.

    Raises:
        StoreError: when the list is damaged.
    """
    if not is_file(path):
        return {}
    try:
        with open_table(path, "r") as file:
            rows = list(csv.DictReader(file))
        return {
            (int(row.get("root", 0)), row["path"]): (int(row["size"]), int(row["mtime_ns"]), row["sha256"])
            for row in rows
        }
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: damaged ({error}); prepare the store again with --force") from None


def _differences(theirs: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """Names of what differs, options and spec field by field."""
    names = []
    for name, value in plan.items():
        other = theirs.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            names += [
                f"{key} ({other.get(key)}, now {value[key]})" for key in value if other.get(key) != value[key]
            ]
        elif other != value:
            names.append("corpus" if name in ("listing", "recordings") else f"{name} ({other}, now {value})")
    return list(dict.fromkeys(names)) or ["plan"]
