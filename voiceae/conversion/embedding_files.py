"""Speaker embeddings: averaging them, and keeping them in files that other programs can read."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.speaker_profile import Embedding, MelStatistics, SpeakerProfile, checked
from voiceae.errors import EmbeddingError, OutputError
from voiceae.io.filesystem import atomic_path, require_new

_PITCHES = ("speaker_pitch_centres", "pitch_centres")
_COLOURS = ("speaker_colours", "colours")
_COVARIANCES = ("speaker_covariances", "covariances")
_STORED = re.compile(r"(?P<file>.+?\.(?:npy|npz))(?::(?P<name>.+))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class EmbeddingTable:
    """Embeddings of recordings and of their speakers, sorted by path and by name.

    Attributes:
        embeddings: of every file, (files, S) float32, unit length.
        paths: of every file.
        speakers: name of every file's speaker.
        speaker_embeddings: mean of each speaker's files at unit length, (speakers, S) float32.
        speaker_names: of every speaker.
        pitch_centres: median fundamental of every file, (files,) octaves on the model's grid.
        speaker_pitch_centres: mean of each speaker's files, (speakers,).
        colours: per-bin mean and deviation of every file and the frames they come from, (files, 2 M + 1).
        speaker_colours: of every speaker.
        covariances: of the low cepstra of every file, upper triangles, (files, Q (Q + 1) / 2); older tables know none.
        speaker_covariances: of every speaker.
        model: fingerprint of the model they were made with; vectors of two models cannot be compared.
    """

    embeddings: Embedding
    paths: tuple[str, ...]
    speakers: tuple[str, ...]
    speaker_embeddings: Embedding
    speaker_names: tuple[str, ...]
    pitch_centres: Embedding
    speaker_pitch_centres: Embedding
    colours: Embedding
    speaker_colours: Embedding
    covariances: Embedding
    speaker_covariances: Embedding
    model: str = ""

    @classmethod
    def from_profiles(
        cls, profile: Mapping[str, SpeakerProfile], speakers: Mapping[str, str], model: str
    ) -> EmbeddingTable:
        """Gather what was heard of every file, by path, into a table.

        Args:
            profile: by path.
            speakers: whose voice it is, by path.
            model: fingerprint of the model that heard it.
        """
        paths = tuple(sorted(profile))
        owners = tuple(speakers[path] for path in paths)
        names = tuple(sorted(set(owners)))
        members: dict[str, list[SpeakerProfile]] = {name: [] for name in names}
        for path, owner in zip(paths, owners, strict=True):
            members[owner].append(profile[path])
        files, means = (
            [profile[path] for path in paths],
            [SpeakerProfile.mean(members[name]) for name in names],
        )
        return cls(
            embeddings=_vectors(files),
            paths=paths,
            speakers=owners,
            speaker_embeddings=_vectors(means),
            speaker_names=names,
            pitch_centres=_pitches(files),
            speaker_pitch_centres=_pitches(means),
            colours=_colours(files),
            speaker_colours=_colours(means),
            covariances=_covariances(files),
            speaker_covariances=_covariances(means),
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
        arrays = _read_arrays(Path(path))
        if isinstance(arrays, dict):
            arrays = _unknown(arrays) | arrays
        names = [field.name for field in fields(cls)]
        missing = names if isinstance(arrays, np.ndarray) else sorted({*names} - {*arrays})
        if missing or isinstance(arrays, np.ndarray):
            raise EmbeddingError(
                f"{path}: is not a table of voiceae embed: it has no {', '.join(missing[:3])}"
            )
        require_model(path, str(arrays["model"]), model)
        texts = {name: tuple(map(str, arrays[name])) for name in ("paths", "speakers", "speaker_names")}
        vectors = {name: arrays[name] for name in names if name not in texts and name != "model"}
        _require_rows(path, texts, vectors)
        return cls(**vectors, **texts, model=str(arrays["model"]))  # type: ignore[arg-type]

    def profile(self, row: int) -> SpeakerProfile:
        """What was heard of one file."""
        pitch = float(self.pitch_centres[row])
        colour = MelStatistics.unpack(self.colours[row], self.covariances[row])
        return SpeakerProfile(self.embeddings[row], None if np.isnan(pitch) else pitch, colour)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write `.npz` (plain arrays, no objects) or `.csv` (speaker rows have no path).

        Raises:
            OutputError: for another suffix, an existing file without `force`, or a full disk.
        """
        path = require_table_path(path, force)
        with atomic_path(path) as temporary:
            if path.suffix.lower() == ".npz":
                np.savez(temporary, **self._arrays())  # type: ignore[arg-type]  # none is named as its flag
            else:
                self._write_csv(temporary)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "embeddings": self.embeddings,
            "paths": np.array(self.paths, dtype=np.str_),
            "speakers": np.array(self.speakers, dtype=np.str_),
            "speaker_embeddings": self.speaker_embeddings,
            "speaker_names": np.array(self.speaker_names, dtype=np.str_),
            "pitch_centres": self.pitch_centres,
            "speaker_pitch_centres": self.speaker_pitch_centres,
            "colours": self.colours,
            "speaker_colours": self.speaker_colours,
            "covariances": self.covariances,
            "speaker_covariances": self.speaker_covariances,
            "model": np.array(self.model, dtype=np.str_),
        }

    def _write_csv(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["path", "speaker", "pitch", *(f"e{index}" for index in range(self.embeddings.shape[1]))]
            )
            files = zip(self.paths, self.speakers, self.pitch_centres, self.embeddings, strict=True)
            nameless = [""] * len(self.speaker_names)
            means = zip(
                nameless, self.speaker_names, self.speaker_pitch_centres, self.speaker_embeddings, strict=True
            )
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
    """Stored embedding, from `FILE.npy`, `FILE.npz` with one speaker, or `FILE.npz:NAME`: -> (S,).

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
        return SpeakerProfile(checked(content, str(path)))
    made_with = str(content.get("model", ""))
    require_model(path, made_with, model)
    return _pick(content, path, name)


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


def _require_rows(
    path: str | Path, texts: Mapping[str, Sequence[str]], vectors: Mapping[str, NDArray[Any]]
) -> None:
    """Refuse a table whose columns are not of one length."""
    files, speakers = len(texts["paths"]), len(texts["speaker_names"])
    lengths = {name: len(each) for name, each in texts.items()}
    lengths |= {name: len(each) for name, each in vectors.items()}
    wanted = {name: speakers if name.startswith("speaker_") else files for name in lengths}
    if lengths != wanted or any(each.dtype.kind != "f" for each in vectors.values()):
        raise EmbeddingError(f"{path}: is damaged: its columns do not fit each other")


def _read_arrays(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Arrays of a file; nothing in it is ever unpickled."""
    try:
        content = np.load(path, allow_pickle=False)
        return content if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise EmbeddingError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise EmbeddingError(f"{path}: is not a file of embeddings, or is damaged ({error})") from None


def _unknown(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Covariances as an older table has them: rows of NaN."""
    lengths = {
        name: len(arrays[like]) for name, like in zip(_COVARIANCES, _COLOURS, strict=True) if like in arrays
    }
    return {name: np.full((length, 1), np.nan, np.float32) for name, length in lengths.items()}


def _pick(arrays: Mapping[str, NDArray[Any]], path: Path, name: str | None) -> SpeakerProfile:
    """One voice of a table, by speaker, by path, or the only one there is."""
    try:
        speakers, files = [list(map(str, arrays[key])) for key in ("speaker_names", "paths")]
        vectors = [arrays[key] for key in ("speaker_embeddings", "embeddings")]
    except (KeyError, TypeError) as error:
        raise EmbeddingError(f"{path}: is not a table of voiceae embed: {error}") from None
    name = speakers[0] if name is None and len(speakers) == 1 else name
    columns = zip((speakers, files), vectors, _PITCHES, _COLOURS, _COVARIANCES, strict=True)
    for names, vector, pitches, colours, covariances in columns:
        if name in names:
            row = names.index(name)
            pitch = float(arrays[pitches][row]) if pitches in arrays else np.nan
            triangle = arrays[covariances][row] if covariances in arrays else None
            colour = MelStatistics.unpack(arrays[colours][row], triangle) if colours in arrays else None
            return SpeakerProfile(
                checked(vector[row], f"{path}:{name}"), None if np.isnan(pitch) else pitch, colour
            )
    said = f"has no speaker {name!r}" if name else "holds several speakers"
    raise EmbeddingError(
        f"{path}: {said}; name one, as in {path}:{speakers[0]} (it has {_listing(speakers)})"
    )


def _vectors(profile: Sequence[SpeakerProfile]) -> Embedding:
    return np.stack([each.embedding for each in profile]).astype(np.float32)


def _pitches(profile: Sequence[SpeakerProfile]) -> Embedding:
    """(n,), NaN where the pitch is not known."""
    return np.array(
        [np.nan if each.pitch_centre is None else each.pitch_centre for each in profile], np.float32
    )


def _colours(profile: Sequence[SpeakerProfile]) -> Embedding:
    """(n, 2 M + 1), a row of NaN where the colour is not known."""
    return _rows([None if each.mel_statistics is None else each.mel_statistics.pack() for each in profile])


def _covariances(profile: Sequence[SpeakerProfile]) -> Embedding:
    """(n, Q (Q + 1) / 2), likewise."""
    return _rows(
        [None if each.mel_statistics is None else each.mel_statistics.pack_covariance() for each in profile]
    )


def _rows(rows: Sequence[Embedding | None]) -> Embedding:
    """Stacked, NaN for None."""
    width = max((len(row) for row in rows if row is not None), default=1)
    unknown = np.full(width, np.nan, np.float32)
    return np.stack([unknown if row is None else row for row in rows])


def _listing(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
