"""Shards of a store: built from recordings, read back and mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from voiceae.data.aligned import Wave, common_interval, not_aligned
from voiceae.data.corpora import TRAIN, Recording
from voiceae.dsp.bandwidth import coded_band
from voiceae.dsp.loudness import normalise
from voiceae.dsp.mel import LogMel
from voiceae.hardware import torch_threads
from voiceae.io.audio import UpperBandWarning, info, load
from voiceae.io.filesystem import FILE_ERRORS, atomic_path, reason
from voiceae.specs import AudioSpec

SHARDS = "shards"
_ROW_LENGTH = 6
_MOST_MAPPED = 256  # each holds a file descriptor, of which a process usually has 1024

Shard = NDArray[np.float16]


def shard_path(root: Path, number: int) -> Path:
    """Path of the shard with a number."""
    return root / SHARDS / f"mel-{number:05d}.npy"


class ShardReader(Sequence[Shard]):
    """The (frames, M) float16 arrays of a store, however many: the latest are kept mapped.

    Views of a shard stay good when it makes room for others. Sent to another process, it is opened anew there.

    Args:
        root: the store.
        lengths: frames of every shard.
        n_mels: M.

    Raises:
        OSError: when a shard is missing.
        ValueError: when one is not what it should be.
    """

    def __init__(self, root: Path, lengths: Sequence[int], n_mels: int) -> None:
        self.root, self.lengths, self.n_mels = root, tuple(lengths), n_mels
        self._mapped = lru_cache(maxsize=_MOST_MAPPED)(self._map)
        for number in range(len(self.lengths)):
            self._map(number)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, number: int) -> Shard: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Shard]: ...
    def __getitem__(self, number: int | slice) -> Shard | Sequence[Shard]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"shard {number} of {len(self)}")
        return self._mapped(number % len(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardReader, (self.root, self.lengths, self.n_mels)

    def _map(self, number: int) -> Shard:
        path, shape = shard_path(self.root, number), (self.lengths[number], self.n_mels)
        if not shape[0]:  # an empty file cannot be mapped
            return np.zeros(shape, dtype=np.float16)
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
        if shard.dtype != np.float16 or shard.shape != shape:
            raise ValueError(f"{path.name} is {shard.dtype} {shard.shape}, not float16 {shape}")
        return np.asarray(shard)


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """All that a worker needs to know.

    Attributes:
        recordings: what goes in, in this order.
        spec: the mel contract.
        trim: cut silence at both ends.
        min_seconds: recordings shorter than this, after trimming, are skipped.
        mel_path: the shard.
        record_path: what is known of it; appears after the shard, and means that the shard is complete.
    """

    recordings: tuple[Recording, ...]
    spec: AudioSpec
    trim: bool
    min_seconds: float
    mel_path: Path
    record_path: Path


@dataclass
class ShardRecord:
    """What is known of a finished shard.

    Attributes:
        rows: (place among the shard's recordings, first frame, frames, seconds, first sample, band in Hz) of each
            utterance kept.
        skipped: (place among the shard's recordings, reason) of each left out.
        frames: frames in all.
        train_frames: frames of the training split.
        total: (M,) sum of the training frames.
        squares: (M,) sum of the squares of the training frames.
        narrow: recordings whose rate leaves out part of the speech band.
        seconds_read: duration of the audio before trimming.
        sources: what every recording's file was, as `describe` tells it.
    """

    rows: list[tuple[int, int, int, float, int, float]] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    frames: int = 0
    train_frames: int = 0
    total: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    narrow: int = 0
    seconds_read: float = 0.0
    sources: list[tuple[int, int, str]] = field(default_factory=list)


def describe(path: Path) -> tuple[int, int, str]:
    """What a file is: its size, when it was written (ns), and the beginning of its SHA-256; (-1, 0, "") for none."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            return state.st_size, state.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return -1, 0, ""


def is_changed(path: Path, was: Sequence[Any]) -> bool:
    """Whether a file is another than it was; one of the same size and time is taken to be the same, unread.

    One that is gone is no other: what was made of it stands.
    """
    try:
        state = path.stat()
        if [state.st_size, state.st_mtime_ns] == list(was[:2]):
            return False
    except OSError:
        return False
    size, _, digest = describe(path)
    return [size, digest] != [was[0], was[2]]


def build_shard(job: ShardJob) -> ShardRecord:
    """Make one shard, unless it is there already.

    Raises:
        OutputError: when the files cannot be written.
    """
    done = read_record(job)
    if done is not None:
        return done
    record = ShardRecord(total=[0.0] * job.spec.n_mels, squares=[0.0] * job.spec.n_mels)
    record.sources = [describe(recording.path) for recording in job.recordings]
    with torch_threads(1):
        grouped = groupby(range(len(job.recordings)), lambda place: job.recordings[place].group or place)
        mels = [mel for _, places in grouped for mel in _add(record, job, list(places))]
    empty = np.zeros((0, job.spec.n_mels), dtype=np.float16)
    record.skipped.sort()  # of a group, its unreadable members come first
    with atomic_path(job.mel_path) as temporary:
        np.save(temporary, np.concatenate([empty, *mels]))
    with atomic_path(job.record_path) as temporary:
        temporary.write_text(json.dumps(asdict(record)), encoding="utf-8")
    return record


def read_record(job: ShardJob) -> ShardRecord | None:
    """What is known of a finished shard; None when it still has to be made, or a recording is another by now."""
    record = stored_record(job)
    return None if record is None or changed(job, record) else record


def stored_record(job: ShardJob) -> ShardRecord | None:
    """What is known of a shard that was finished, whatever became of its recordings since."""
    try:
        values: dict[str, Any] = json.loads(job.record_path.read_text(encoding="utf-8"))
        record = ShardRecord(**values)
        shard = np.load(job.mel_path, mmap_mode="r" if record.frames else None)
    except (OSError, ValueError, TypeError):
        return None
    whole = shard.shape == (record.frames, job.spec.n_mels) and len(record.sources) == len(job.recordings)
    whole &= all(len(row) == _ROW_LENGTH for row in record.rows)  # of an older version
    return record if whole else None


def changed(job: ShardJob, record: ShardRecord) -> list[Path]:
    """Recordings whose files are others than those that the shard was made from."""
    paths = [recording.path for recording in job.recordings]
    return [path for path, was in zip(paths, record.sources, strict=True) if is_changed(path, was)]


def levelled(path: Path, spec: AudioSpec, min_seconds: float) -> tuple[Wave, float]:
    """Whole wave of a recording at the common level, and the seconds read: -> (N,), ().

    Raises:
        AudioError: when the recording cannot be used.
    """
    audio = load(path, spec.sample_rate, min_seconds=min_seconds, what="a recording")
    return normalise(audio.wav, spec.sample_rate).wav, audio.seconds


def speech_interval(wavs: Sequence[Wave], spec: AudioSpec, cut_silence: bool) -> tuple[int, int]:
    """First sample of what a store keeps of a recording or an aligned group, and the one after the last: -> (), ()."""
    return common_interval(wavs, spec.sample_rate) if cut_silence else (0, min(map(len, wavs)))


def _add(record: ShardRecord, job: ShardJob, places: Sequence[int]) -> list[NDArray[np.float16]]:
    """Log-mels, (T, M), of a recording or of an aligned group, as far as they can be used; noted in the record."""
    heard = {place: wav for place in places if (wav := _read(record, job, place)) is not None}
    left_out: dict[int, str] = {}
    if len(places) > 1:
        reasons = not_aligned(list(heard.values()), job.spec) if heard else {}
        left_out = {place: reasons[number] for number, place in enumerate(heard) if number in reasons}
    kept = {place: wav for place, wav in heard.items() if place not in left_out}
    if kept:
        first, last = speech_interval(list(kept.values()), job.spec, job.trim)
        seconds = (last - first) / job.spec.sample_rate
        if seconds < job.min_seconds:
            least = f"at least {job.min_seconds:g} s are needed"
            left_out |= dict.fromkeys(kept, f"{seconds:.2f} s are left after trimming; {least}")
            kept = {}
    record.skipped += left_out.items()
    return [_keep(record, job, place, wav[first:last], first) for place, wav in kept.items()]


def _read(record: ShardRecord, job: ShardJob, place: int) -> Wave | None:
    """Whole wave of a recording; None, and its reason in the record, for one that cannot be used."""
    path = job.recordings[place].path
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UpperBandWarning)
        try:
            wav, seconds_read = levelled(path, job.spec, job.min_seconds)
        except FILE_ERRORS as error:
            record.skipped.append((place, reason(error, path).removeprefix(f"{path}: ")))
            return None
    record.narrow += any(issubclass(warning.category, UpperBandWarning) for warning in caught)
    record.seconds_read += seconds_read
    return wav


def _keep(
    record: ShardRecord, job: ShardJob, place: int, wav: Wave, first_sample: int
) -> NDArray[np.float16]:
    """Log-mel of what is kept of a recording: (N,) -> (T, M)."""
    with torch.inference_mode():
        mel = _log_mel(job.spec)(torch.from_numpy(wav)).T.to(torch.float16).contiguous().numpy()
    recording, seconds = job.recordings[place], len(mel) / job.spec.frame_rate
    band = _band(recording.path, wav, job.spec)
    record.rows.append((place, record.frames, len(mel), seconds, first_sample, band))
    record.frames += len(mel)
    if recording.split == TRAIN:
        exact = mel.astype(np.float64)
        record.train_frames += len(mel)
        record.total = (record.total + exact.sum(axis=0)).tolist()
        record.squares = (record.squares + np.einsum("tm,tm->m", exact, exact)).tolist()
    return mel


def _band(path: Path, wav: Wave, spec: AudioSpec) -> float:
    """Highest frequency that a recording holds and the store can, Hz."""
    file = info(path)
    # Of Opus the rate is a hint of its encoder's: a decoder gives 48 kHz whatever the packets hold.
    coded = coded_band(wav, spec.sample_rate) if file.codec == "OPUS" else spec.sample_rate / 2
    return min(coded, file.sample_rate / 2)


@lru_cache(maxsize=2)
def _log_mel(spec: AudioSpec) -> LogMel:
    return LogMel(spec)
