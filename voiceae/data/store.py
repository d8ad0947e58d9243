"""The feature store: float16 log-mels in memory-mapped shards, with table, statistics and mel contract."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.data.shards import SHARDS, ShardReader, shard_path
from voiceae.data.splits import SPLITS, TRAIN
from voiceae.errors import StoreError
from voiceae.io.filesystem import exists, is_file
from voiceae.specs import AudioSpec

__all__ = [
    "COLUMNS",
    "FORMAT",
    "PLAN",
    "REPORT",
    "SHARDS",
    "SOURCES",
    "STATISTICS",
    "STORE",
    "TABLE",
    "WAVES",
    "FeatureStore",
    "ShardReader",
    "Utterance",
    "shard_path",
]

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
        path: the audio file, relative to the corpus (`FeatureStore.audio_path` resolves it).
        shard: number of the shard that holds its frames.
        start: first frame within the shard.
        frames: number of frames.
        seconds: duration after trimming.
        gender: "F", "M" or empty.
        text: what is said, or empty.
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


COLUMNS = tuple(field.name for field in fields(Utterance))


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
            utterances = _read_table(root / TABLE)
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
        return Path(self.info["corpus"]) / self.utterances[index].path


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


def _read_table(path: Path) -> list[Utterance]:
    kinds: dict[str, Callable[[str], Any]] = dict.fromkeys(("index", "shard", "start", "frames"), int)
    kinds["seconds"] = float
    kinds |= dict.fromkeys(("speaker", "split", "gender"), sys.intern)  # few, and said in every row
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file, strict=True)
        places = {name: place for place, name in enumerate(next(rows, ()))}
        readers = [(name, kinds.get(name, str), places[name]) for name in COLUMNS]
        utterances = [Utterance(**{name: kind(row[place]) for name, kind, place in readers}) for row in rows]
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
