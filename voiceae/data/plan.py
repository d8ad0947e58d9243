"""The plan of a store, by which a begun one is known again, and the claim on its folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voiceae.data.corpora import Recording
from voiceae.data.store import FORMAT, PLAN, REPORT, SHARDS, STATISTICS, STORE, TABLE
from voiceae.errors import StoreError
from voiceae.files import atomic_path
from voiceae.specs import AudioSpec

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
    kind: str, root: Path, recordings: Sequence[Recording], spec: AudioSpec, options: PrepareOptions
) -> dict[str, Any]:
    """What the store is made of; two plans that agree make the same store."""
    listing = hashlib.sha256()
    for recording in recordings:
        size = recording.path.stat().st_size if recording.path.is_file() else -1
        row = [relative_path(recording.path, root), size, recording.speaker, recording.split, recording.text]
        listing.update(json.dumps([*row, recording.utterance, recording.gender]).encode())
    return {
        "format": FORMAT,
        "kind": kind,
        "recordings": len(recordings),
        "listing": listing.hexdigest(),
        "spec": spec.to_dict(),
        "options": asdict(options),
    }


def relative_path(path: Path, root: Path) -> str:
    """Path below the corpus, links left as they are; absolute for what lies elsewhere."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()


def claim(out: Path, plan: dict[str, Any], force: bool) -> None:
    """Make `out` ours: new, begun with the same plan, or cleared by force."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out}: is a file; give a folder for the store")
    theirs, leftovers = _read_plan(out / PLAN), _leftovers(out)
    if theirs is None and out.exists() and set(out.iterdir()) - set(leftovers):
        raise StoreError(f"{out}: holds something that is no feature store; give another --out")
    for leftover in leftovers:
        leftover.unlink()
    if theirs is not None and theirs != plan and not force:
        odd = ", ".join(_differences(theirs, plan))
        raise StoreError(f"{out}: was begun with another {odd}; use --force to start anew, or another --out")
    if theirs is not None and force:
        _clear(out)
    if _read_plan(out / PLAN) is None:
        with atomic_path(out / PLAN) as temporary:
            temporary.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")


def _leftovers(out: Path) -> list[Path]:
    """Temporary files of a killed run."""
    patterns = [f".{Path(name).stem}-*" for name in (PLAN, STORE, TABLE, REPORT, STATISTICS)]
    return [
        path for pattern in (*patterns, f"{SHARDS}/.mel-*", f"{RECORDS}/.*-*") for path in out.glob(pattern)
    ]


def _read_plan(path: Path) -> dict[str, Any] | None:
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return plan if {"format", "listing", "options"} <= set(plan) else None


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


def _clear(out: Path) -> None:
    """The plan goes last: until then a killed run is still known for a store."""
    (out / STORE).unlink(missing_ok=True)
    for folder in (SHARDS, RECORDS):
        shutil.rmtree(out / folder, ignore_errors=True)
    for name in (TABLE, REPORT, STATISTICS, PLAN):
        (out / name).unlink(missing_ok=True)
