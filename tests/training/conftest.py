"""A feature store of invented mels, and settings of a toy model on it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import HANG_GUARD_SECONDS
from voiceae.data.shards import shard_path
from voiceae.data.store import COLUMNS, STATISTICS, STORE, TABLE, Utterance
from voiceae.specs import AudioSpec
from voiceae.training.settings import Settings, compose

SPEAKERS, UTTERANCES, FRAMES = 4, 4, 70
Composer = Callable[..., Settings]


def split_of(speaker: int, utterance: int) -> str:
    if speaker == SPEAKERS - 1:
        return "valid_speakers"
    return "valid_utterances" if utterance == UTTERANCES - 1 else "train"


def write_store(root: Path) -> None:
    """Smooth random mels, each speaker with a colour of its own; the last speaker and utterances held out."""
    rng, spec = np.random.default_rng(0), AudioSpec()
    rows, mels = [], []
    for number in range(SPEAKERS * UTTERANCES):
        speaker, utterance = divmod(number, UTTERANCES)
        frames = FRAMES + int(rng.integers(20))
        drift = rng.normal(size=(frames, spec.n_mels)).cumsum(0) * 0.3
        mels.append((drift - 5 + 2 * np.sin(np.arange(spec.n_mels) / (5 + speaker))).astype(np.float16))
        rows.append(
            Utterance(
                index=number,
                speaker=f"s{speaker}",
                utterance=f"u{utterance}",
                split=split_of(speaker, utterance),
                path=f"s{speaker}/u{utterance}.wav",
                shard=0,
                start=sum(map(len, mels[:-1])),
                frames=frames,
                seconds=frames / spec.frame_rate,
            )
        )
    frames = np.concatenate(mels)
    shard_path(root, 0).parent.mkdir(parents=True)
    np.save(shard_path(root, 0), frames)
    np.savez(root / STATISTICS, mean=frames.astype(np.float32).mean(0), std=frames.astype(np.float32).std(0))
    with (root / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: getattr(row, name) for name in COLUMNS} for row in rows)
    info = {
        "format": 1,
        "spec": spec.to_dict(),
        "shard_frames": [len(frames)],
        "utterances": len(rows),
        "corpus": "x",
    }
    (root / STORE).write_text(json.dumps(info))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training") / "invented"
    write_store(root)
    return root


@pytest.fixture
def overrides(store: Path, tmp_path: Path) -> list[str]:
    """Of a run that takes a second and gives the same on every processor: tiny model, fp32, no pictures."""
    return [
        *("experiment=debug", f"data.store={store}", f"out={tmp_path / 'run'}"),
        *("trainer.picture_every=0", "trainer.precision=fp32"),
    ]


@pytest.fixture
def composed(overrides: list[str]) -> Composer:
    """Settings of the toy run with further overrides."""
    return lambda *more: Settings.read(compose([*overrides, *more]))


@pytest.fixture(autouse=True)
def own_threads_and_noise() -> Iterator[None]:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def run_script(path: Path, code: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a script of its own process, which Lightning may start again for further ranks."""
    path.write_text(code)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(path), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_GUARD_SECONDS, env=environment, cwd=path.parent
    )
