"""What a prepared folder holds, and how the shared one is prepared."""

from __future__ import annotations

import hashlib
from pathlib import Path

from voiceae.data.store import PrepareOptions

OPTIONS = PrepareOptions(valid_speakers=2, valid_utterances=0.1, seed=4)


def contents(root: Path) -> dict[str, str]:
    """Hash of every file by its path."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
