"""Scoring waves in parallel, each wave once, with the scores cached on disk by content of the wave."""

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
from voiceae.pretrained.scorers import SAMPLE_RATE, Measured, Scorer, Wav, kind_of, load_scorers
from voiceae.processes import parent_watch_options, watched_call, workers_killed_on_error

Measurements: TypeAlias = dict[str, Measured | str]
"""What each scorer measured, by its name; a text is the reason why it could not."""

Progress: TypeAlias = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps an iterable of known length and name, for a progress bar."""


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Hand the items on without a progress bar."""
    return items


def default_cache() -> Path | None:
    """Folder of cached scores, `$XDG_CACHE_HOME/voiceae/scores`; None for a user without a home folder."""
    try:
        return user_folder("XDG_CACHE_HOME", ".cache") / "voiceae" / "scores"
    except ConfigError:
        return None


@dataclass(frozen=True)
class ScoringJob:
    """A wave and who scores it.

    Attributes:
        wav: (N,) at 16 kHz.
        scorers: names of those to use.
    """

    wav: Wav
    scorers: tuple[str, ...]

    @classmethod
    def from_audio(cls, audio: Audio | Path, scorers: Sequence[str]) -> ScoringJob:
        """Bring audio to the rate of the scorers.

        Raises:
            AudioError: when it is missing, damaged, silent or not finite.
        """
        return cls(audio_io.load(audio, SAMPLE_RATE).wav, tuple(scorers))

    @property
    def digest(self) -> str:
        """Names the wave, whatever file it was in."""
        return hashlib.sha256(np.ascontiguousarray(self.wav, np.float32).tobytes()).hexdigest()[:32]


def score_wave(job: ScoringJob, cache: Path | None) -> Measurements:
    """Score one wave, or read what the same version of a scorer measured before.

    Args:
        job: the wave and its scorers.
        cache: folder of earlier scores; None to score anew.
    """
    loaded = load_scorers(job.scorers).scorers
    return {name: score_once(name, scorer, job, cache) for name, scorer in loaded.items()}


def score_once(name: str, scorer: Scorer, job: ScoringJob, cache: Path | None) -> Measured | str:
    """What one scorer measures, or measured before; the reason where it cannot.

    Args:
        name: of the scorer, under which its scores are kept.
        scorer: loaded.
        job: the wave.
        cache: as for `score_wave`.
    """
    # By content, so that a wave is known again whatever file, row or run it comes from.
    digest = job.digest
    kept = cache / f"{kind_of(name)}-{scorer.version}" / digest[:2] / f"{digest}.json" if cache else None
    try:
        found = json.loads(kept.read_text(encoding="utf-8")) if kept else None
    except (OSError, ValueError):
        found = None  # a damaged file counts as none
    if not isinstance(found, dict) or not found.keys() & {"measured", "reason"}:
        try:
            found = {"measured": scorer.score(job.wav)}
        except ScorerError as error:
            found = {"reason": str(error)}
        # The default folder lies in somebody's home; where it cannot be written, the next time is only slower.
        if kept:
            with suppress(OutputError), atomic_path(kept) as temporary:
                temporary.write_text(json.dumps(found), encoding="utf-8")
    measured: Measured | str = found["measured"] if "measured" in found else found["reason"]
    return measured


def score_all(
    waves: Mapping[str, ScoringJob],
    *,
    cache: Path | None = None,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> dict[str, Measurements]:
    """Score many waves, each process with scorers of its own: measurements by the same keys.

    Args:
        waves: by any key.
        cache: folder of earlier measurements, or None.
        jobs: processes, one thread each.
        progress: wraps the waves, for a progress bar.
    """
    import joblib

    config = {"backend": "loky", "inner_max_num_threads": 1} if jobs > 1 else {"backend": "sequential"}
    with workers_killed_on_error(), joblib.parallel_config(**config, n_jobs=jobs):
        done = joblib.Parallel(return_as="generator", batch_size=1, **parent_watch_options())(
            watched_call(score_wave, job, cache) for job in waves.values()
        )
        return dict(zip(waves, progress(done, len(waves), "score"), strict=True))
