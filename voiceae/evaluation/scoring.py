"""Letting judges listen: in parallel, once a wave, with what they said kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from voiceae.errors import ConfigError, OutputError, ScorerError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.io.filesystem import atomic_path, user_folder
from voiceae.pretrained.scorers import SAMPLE_RATE, Measured, Wav, load_scorers
from voiceae.processes import attended, no_survivors, watching

Findings: TypeAlias = dict[str, Measured | str]
"""What each judge measured, by its name; a text is the reason why it could not."""

Watch: TypeAlias = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps an iterable of known length and name, for a progress bar."""


def unwatched(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """No progress bar."""
    return items


def default_cache() -> Path | None:
    """Folder that judgements are kept in, `$XDG_CACHE_HOME/voiceae/judges`; None for a user without a home folder."""
    try:
        return user_folder("XDG_CACHE_HOME", ".cache") / "voiceae" / "judges"
    except ConfigError:
        return None


@dataclass(frozen=True)
class ScoringJob:
    """A wave that judges listen to.

    Attributes:
        wav: (N,) at 16 kHz.
        judges: names of those that are wanted.
    """

    wav: Wav
    judges: tuple[str, ...]

    @classmethod
    def from_audio(cls, audio: Audio | Path, judges: Sequence[str]) -> ScoringJob:
        """Bring audio to the rate of the judges.

        Raises:
            AudioError: when it is missing, damaged, silent or not finite.
        """
        return cls(audio_io.load(audio, SAMPLE_RATE).wav, tuple(judges))

    @property
    def digest(self) -> str:
        """Names the wave, whatever file it was in."""
        return hashlib.sha256(np.ascontiguousarray(self.wav, np.float32).tobytes()).hexdigest()[:32]


def score_wave(heard: ScoringJob, cache: Path | None) -> Findings:
    """Let the judges listen to one wave, or recall what the same version of a judge said of it.

    Args:
        heard: the wave and who judges it.
        cache: folder of what was said before; None to ask anew.
    """
    digest, findings = heard.digest, Findings()
    for name, judge in load_scorers(heard.judges).judges.items():
        kept = cache / f"{name}-{judge.version}" / digest[:2] / f"{digest}.json" if cache else None
        found = _read(kept)
        if found is None:
            try:
                found = {"measured": judge.score(heard.wav)}
            except ScorerError as error:
                found = {"reason": str(error)}
            _keep(kept, found)
        findings[name] = found["measured"] if "measured" in found else found["reason"]
    return findings


def score_all(
    waves: Mapping[str, ScoringJob], *, cache: Path | None = None, jobs: int = 1, watch: Watch = unwatched
) -> dict[str, Findings]:
    """Let the judges listen to many waves, each process with judges of its own: findings by the same keys.

    Args:
        waves: by any key.
        cache: folder of earlier findings, or None.
        jobs: processes, one thread each.
        watch: wraps the waves, for a progress bar.
    """
    import joblib

    config = {"backend": "loky", "inner_max_num_threads": 1} if jobs > 1 else {"backend": "sequential"}
    with no_survivors(), joblib.parallel_config(**config, n_jobs=jobs):
        done = joblib.Parallel(return_as="generator", batch_size=1, **watching())(
            attended(score_wave, heard, cache) for heard in waves.values()
        )
        return dict(zip(waves, watch(done, len(waves), "judge"), strict=True))


def _read(path: Path | None) -> dict[str, Any] | None:
    """What was kept; a damaged file counts as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and ("measured" in found or "reason" in found) else None


def _keep(path: Path | None, found: dict[str, Any]) -> None:
    # The default folder lies in somebody's home; where it cannot be written, an evaluation is only slower next time.
    if path:
        with suppress(OutputError), atomic_path(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")
