"""A folder of recordings as rows of a batch: each said again in one voice, under its own name."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from voiceae.audio import io
from voiceae.data.pairs import PairRow
from voiceae.errors import AudioError
from voiceae.inference.batch import Failure
from voiceae.inference.collect import find_recordings
from voiceae.inference.speakers import is_stored, read_stored

_ANY_RATE = 16000  # only to look whether a target is any use
_TARGET_SECONDS = 0.5


def folder_rows(
    folder: Path, targets: Sequence[str], out_dir: Path, closed: list[Failure] | None = None
) -> list[PairRow]:
    """A row for every recording below a folder, but for earlier results there.

    Args:
        folder: that sources and results are named below.
        targets: the voice, as from here.
        out_dir: where the results go.
        closed: gets the folders below that cannot be opened.

    Raises:
        AudioError: when there is no audio in the folder, or a target cannot be used.
        EmbeddingError: for a stored embedding that cannot be used.
    """
    for target in targets:
        require_target(target)
    results = Path(os.path.abspath(out_dir))
    files = [
        file
        for file in find_recordings([folder], closed)
        if results not in Path(os.path.abspath(file)).parents
    ]
    if not files:
        raise AudioError(f"{folder}: holds no audio but in {out_dir}, where the results go")
    here = tuple(str(Path.cwd() / target) for target in targets)
    names = [str(file.relative_to(folder)) for file in files]
    return [PairRow(0, name, here, _result(name, names)) for name in names]


def _result(name: str, names: Collection[str]) -> str:
    """Name of the result: the recording's own, or .wav where its format can only be read."""
    path = PurePath(name)
    if path.suffix.lower() in io.SUFFIXES:
        return name
    plain = str(path.with_suffix(".wav"))
    return f"{name}.wav" if plain in names else plain


def require_target(target: str) -> None:
    """Refuse a voice that no row could use, before the first row.

    Raises:
        AudioError: for audio that is missing, damaged, silent or too short.
        EmbeddingError: for a stored embedding that is missing or none.
    """
    if is_stored(target):
        read_stored(target)
    else:
        io.load(target, _ANY_RATE, min_seconds=_TARGET_SECONDS, what="a target")
