"""Tables of speaker embeddings, in files that other programs can read: `.npz` of plain arrays, `.csv`, or `.npy`."""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.speaker_profile import Embedding, MelStatistics, SpeakerProfile, checked_embedding
from voiceae.errors import EmbeddingError, OutputError
from voiceae.io.filesystem import atomic_path, require_new

# `FILE.npz:NAME`, where both may hold colons: the file ends with the first suffix.
_STORED = re.compile(r"(?P<file>.+?\.(?:npy|npz))(?::(?P<name>.+))?", re.IGNORECASE | re.DOTALL)
_TEXTS = ("paths", "speakers", "speaker_names", "model")
# Older tables do not have them all.
_OPTIONAL = ("pitch_centres", "mel_statistics", "covariances", "timbre")
_AXES = {"pitch_centres": 1, "timbre": 3}  # of columns that have another number than 2
_NAMES_LISTED = 8  # in a message


@dataclass(frozen=True)
class EmbeddingTable:
    """Profiles of recordings and of their speakers, one row each, sorted by path and by name.

    Attributes:
        embeddings: of every file, (files, S) float32, unit length.
        paths: of every file.
        speakers: name of every file's speaker.
        speaker_embeddings: mean of each speaker's files at unit length, (speakers, S) float32.
        speaker_names: of every speaker.
        pitch_centres: median F0 of every file, (files,) octaves above the model's lowest.
        speaker_pitch_centres: mean of each speaker's files, (speakers,).
        mel_statistics: per-bin mean and deviation of every file and the frames they come from, (files, 2 M + 1).
        speaker_mel_statistics: of every speaker.
        covariances: of the low cepstra of every file, upper triangles, (files, Q (Q + 1) / 2).
        speaker_covariances: of every speaker.
        timbre: frames of every file to look up, (files, K, E) float16; behind a file of fewer rows of NaN.
        speaker_timbre: of every speaker.
        model: fingerprint of the model they were made with; vectors of two models cannot be compared.
    """

    embeddings: Embedding
    paths: tuple[str, ...]
    speakers: tuple[str, ...]
    speaker_embeddings: Embedding
    speaker_names: tuple[str, ...]
    pitch_centres: Embedding
    speaker_pitch_centres: Embedding
    mel_statistics: Embedding
    speaker_mel_statistics: Embedding
    covariances: Embedding
    speaker_covariances: Embedding
    timbre: NDArray[np.float16]
    speaker_timbre: NDArray[np.float16]
    model: str = ""

    @classmethod
    def from_profiles(
        cls, profiles: Mapping[str, SpeakerProfile], speakers: Mapping[str, str], model: str
    ) -> EmbeddingTable:
        """Table of profiles and of their mean for each speaker.

        Args:
            profiles: by path.
            speakers: whose voice it is, by path.
            model: fingerprint of the model that the profiles are of.
        """
        paths = tuple(sorted(profiles))
        names = tuple(sorted({speakers[path] for path in paths}))
        members: dict[str, list[SpeakerProfile]] = {name: [] for name in names}
        for path in paths:
            members[speakers[path]].append(profiles[path])
        return cls(
            **_columns("", [profiles[path] for path in paths]),
            **_columns("speaker_", [SpeakerProfile.mean(members[name]) for name in names]),
            paths=paths,
            speakers=tuple(speakers[path] for path in paths),
            speaker_names=names,
            model=model,
        )

    @classmethod
    def read(cls, path: str | Path, model: str = "") -> EmbeddingTable:
        """A table that `save` wrote as `.npz`.

        Args:
            path: the file.
            model: fingerprint that it must carry, if it carries any.

        Raises:
            EmbeddingError: when it is missing, damaged, no such table, or of another model.
        """
        content = _read_arrays(Path(path))
        return cls._from_arrays(content if isinstance(content, dict) else {}, path, model)

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, NDArray[Any]], path: str | Path, model: str) -> EmbeddingTable:
        # Columns that an older table does not have are filled with NaN, which stands for what is not known.
        unknown: dict[str, NDArray[Any]] = {"model": np.array("")}
        for kind in ("", "speaker_"):
            count = len(np.atleast_1d(arrays.get(f"{kind}embeddings", np.zeros(0))))
            for name in _OPTIONAL:
                shape = (count, 1, 1)[: _AXES.get(name, 2)]
                unknown[kind + name] = np.full(shape, np.nan, np.float32)
        arrays = unknown | dict(arrays)
        names = [field.name for field in fields(cls)]
        missing = sorted({*names} - {*arrays})
        if missing:
            raise EmbeddingError(
                f"{path}: is not a table of voiceae embed: it has no {', '.join(missing[:3])}"
            )
        foreign = sorted({*arrays} - {*names})
        if (
            foreign
        ):  # such as the statistics of a voice under a name that is no longer used: not lost without a word
            warnings.warn(
                f"{path}: columns {', '.join(foreign[:3])} are not known here and are left out; "
                "if voiceae embed wrote them, make the table again",
                stacklevel=3,
            )
        made_with = str(arrays["model"])
        require_model(path, made_with, model)
        # The file may be hand-made or damaged: everything that `profile` relies on is checked.
        texts = {name: tuple(map(str, np.atleast_1d(arrays[name]))) for name in _TEXTS if name != "model"}
        vectors = {name: arrays[name] for name in names if name not in _TEXTS}
        rows = {"": len(texts["paths"]), "speaker_": len(texts["speaker_names"])}
        fits = rows["speaker_"] > 0 and len(texts["speakers"]) == rows[""]
        for name, column in vectors.items():
            count = rows["speaker_" if name.startswith("speaker_") else ""]
            dimensions = _AXES.get(name.removeprefix("speaker_"), 2)
            fits &= column.dtype.kind == "f" and column.ndim == dimensions and len(column) == count
        if not fits:
            raise EmbeddingError(f"{path}: is damaged: its columns do not fit each other")
        return cls(**vectors, **texts, model=made_with)  # type: ignore[arg-type]  # names are those of fields

    def profile(self, row: int, kind: str = "") -> SpeakerProfile:
        """Profile of one file, or with the kind "speaker_" of one speaker."""
        columns = ("embeddings", *_OPTIONAL)
        embedding, pitch, statistics, covariance, frames = (
            getattr(self, kind + name)[row] for name in columns
        )
        frames = frames[np.isfinite(frames).all(1)].astype(np.float32)
        return SpeakerProfile(
            embedding,
            None if np.isnan(pitch) else float(pitch),
            MelStatistics.unpack(statistics, covariance),
            frames if len(frames) else None,
        )

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write `.npz` (plain arrays, no objects) or `.csv` (vectors and pitches alone; speaker rows have no path).

        Raises:
            OutputError: for another suffix, an existing file without `force`, or a full disk.
        """
        path = require_table_path(path, force)
        if path.suffix.lower() == ".csv" and np.isfinite(self.timbre).any():
            warnings.warn(
                f"{path}: a .csv does not keep the frames that this model looks up of a voice; "
                "write .npz for embeddings to convert to",
                stacklevel=2,
            )
        with atomic_path(path) as temporary:
            if path.suffix.lower() == ".npz":
                # As fixed-width text: an array of objects would have to be pickled.
                texts = {name: np.array(getattr(self, name), dtype=np.str_) for name in _TEXTS}
                np.savez(temporary, **(vars(self) | texts))
                return
            files = zip(self.paths, self.speakers, self.pitch_centres, self.embeddings, strict=True)
            nowhere = [""] * len(self.speaker_names)
            pitches, vectors = self.speaker_pitch_centres, self.speaker_embeddings
            means = zip(nowhere, self.speaker_names, pitches, vectors, strict=True)
            # Names of files that are no UTF-8 come from the system as surrogates, and go back as the bytes they were.
            with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                writer = csv.writer(file)
                numbers = [f"e{index}" for index in range(self.embeddings.shape[1])]
                writer.writerow(["path", "speaker", "pitch", *numbers])
                for name, owner, pitch, vector in (*files, *means):
                    writer.writerow([name, owner, str(pitch), *map(str, vector)])


def require_table_path(path: str | Path, force: bool) -> Path:
    """Refuse a table's path before the work is done rather than after it.

    Raises:
        OutputError: when the suffix is neither `.npz` nor `.csv`, or the file exists and `force` is false.
    """
    path = Path(path)
    if path.suffix.lower() not in (".npz", ".csv"):
        raise OutputError(f"{path}: embeddings are written as .npz or .csv; give a name that ends so")
    require_new(path, force)
    return path


def is_stored(target: str) -> bool:
    """Whether a text names a stored embedding (`FILE.npy`, `FILE.npz`, `FILE.npz:NAME`) rather than audio."""
    return _STORED.fullmatch(target) is not None


def read_stored(target: str, model: str = "") -> SpeakerProfile:
    """Profile from `FILE.npy`, `FILE.npz` with one speaker, or `FILE.npz:NAME`.

    Args:
        target: the file, and after a colon a speaker or else a path of its table.
        model: fingerprint that the table must carry, if it carries any.

    Raises:
        EmbeddingError: when the file or the name is missing, or what is there is no embedding.
    """
    match = _STORED.fullmatch(target)
    if match is None:
        raise EmbeddingError(f"{target}: is no stored embedding; give FILE.npy or FILE.npz:NAME")
    path, name = Path(match["file"]), match["name"]
    content = _read_arrays(path)
    if isinstance(content, np.ndarray):
        return SpeakerProfile(checked_embedding(content, str(path)))
    table = EmbeddingTable._from_arrays(content, path, model)
    speakers = table.speaker_names
    name = speakers[0] if name is None and len(speakers) == 1 else name
    for kind, names in (("speaker_", speakers), ("", table.paths)):
        if name in names:
            stored = table.profile(names.index(name), kind)
            return replace(stored, embedding=checked_embedding(stored.embedding, f"{path}:{name}"))
    problem = f"has no speaker {name!r}" if name else "holds several speakers"
    listed = ", ".join(speakers[:_NAMES_LISTED])
    more = f" and {len(speakers) - _NAMES_LISTED} more" if len(speakers) > _NAMES_LISTED else ""
    raise EmbeddingError(f"{path}: {problem}; name one, as in {path}:{speakers[0]} (it has {listed}{more})")


def require_model(path: str | Path, made_with: str, model: str) -> None:
    """Refuse what was made with another model; an empty fingerprint fits every one.

    Raises:
        EmbeddingError: when the fingerprints differ.
    """
    if model and made_with and made_with != model:
        raise EmbeddingError(
            f"{path}: was made with model {made_with}, this one is {model}; "
            "embeddings of two models cannot be mixed: make it again with this one"
        )


def _read_arrays(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Arrays of a file; nothing in it is ever unpickled."""
    try:
        content = np.load(path, allow_pickle=False)
        return content if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise EmbeddingError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise EmbeddingError(f"{path}: is not a file of embeddings, or is damaged ({error})") from None


def _columns(kind: str, profiles: Sequence[SpeakerProfile]) -> dict[str, NDArray[Any]]:
    """Embeddings, pitch centres, mel statistics, covariances and frames of n profiles: (n, ...) each."""
    statistics = [each.mel_statistics for each in profiles]
    pitches = [np.nan if each.pitch_centre is None else each.pitch_centre for each in profiles]
    return {
        f"{kind}embeddings": np.stack([each.embedding for each in profiles]).astype(np.float32),
        f"{kind}pitch_centres": np.array(pitches, np.float32),
        f"{kind}mel_statistics": _rows([None if each is None else each.pack() for each in statistics]),
        f"{kind}covariances": _rows(
            [None if each is None else each.pack_covariance() for each in statistics]
        ),
        f"{kind}timbre": _padded([each.timbre for each in profiles]),
    }


def _rows(rows: Sequence[Embedding | None]) -> Embedding:
    """Stacked, a row of NaN for None: -> (n, width)."""
    width = max((len(row) for row in rows if row is not None), default=1)
    unknown = np.full(width, np.nan, np.float32)  # a table has no None
    return np.stack([unknown if row is None else row for row in rows])


def _padded(tokens: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float16]:
    """Stacked to the longest, rows of NaN behind the others: n times (K, E) or None -> (n, K, E)."""
    known = [each for each in tokens if each is not None]
    # Half precision halves what is by far the largest part of a table, and rounds to three digits.
    stacked = np.full(
        (len(tokens), max(map(len, known), default=1), known[0].shape[1] if known else 1), np.nan, np.float16
    )
    for row, each in zip(stacked, tokens, strict=True):
        if each is not None:
            row[: len(each)] = each
    return stacked
