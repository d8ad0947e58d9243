"""Batches: the same results from one process and two, bad rows in their order, and no growth in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import HANG_GUARD_SECONDS
from voiceae.conversion import batch
from voiceae.conversion.batch import BatchFolders, PairRow, VoiceLoader, convert_pairs, default_jobs
from voiceae.conversion.voice import Voice
from voiceae.errors import ModelFileError, WorkerError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio, UpperBandWarning

ROWS = [
    ("a b.wav", ("é.wav", "c.wav"), "sub/1.wav"),
    ("missing.wav", ("c.wav",), "2.wav"),
    ("a b.wav", ("missing.wav",), "3.wav"),
    ("a b.wav", ("c.wav",), "../4.wav"),
    ("a b.wav", ("c.wav",), "sub/1.wav"),
    ("a b.wav", ("c.wav",), "6.txt"),
    ("a b.wav", (), "7.wav"),
    ("a b.wav", ("c.wav",), "8.flac"),
    ("dull.wav", ("c.wav",), "9.wav"),
]
PAIRS = [PairRow(line, *row) for line, row in enumerate(ROWS, 1)]
REASONS = ["no such file", "no such file", "leaves the", "earlier row", "cannot write", "empty cell"]


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name, rate in (("a b.wav", 16000), ("é.wav", 16000), ("c.wav", 16000), ("dull.wav", 8000)):
        audio_io.write(tmp_path / "in" / name, Audio(rng.uniform(-0.3, 0.3, rate).astype(np.float32), rate))
    return tmp_path / "in"


@pytest.fixture
def loader(tiny_model: Path) -> VoiceLoader:
    return VoiceLoader(model=str(tiny_model), vocoder="griffinlim", device="cpu")


@pytest.fixture
def no_processes_left() -> Iterator[None]:
    """Processes wait for the next batch of this program; here there is none."""
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("no_processes_left")
def test_two_processes_do_what_one_does(
    loader: VoiceLoader, tiny_voice: Voice, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # paths from here hold in the other processes too
    bars: list[int] = []
    for jobs in (1, 2):
        folders = BatchFolders(root=Path("."), out_dir=Path(f"../out{jobs}"))
        with pytest.warns(UpperBandWarning, match=r"dull.wav.*8000 Hz"):
            failures = convert_pairs(
                loader, folders, PAIRS, jobs=jobs, progress=lambda r: bars.append(len(all := list(r))) or all
            )
        assert [failure.where for failure in failures] == [f"line {line}" for line in (2, 3, 4, 5, 6, 7)]
        assert all(wanted in each.reason for wanted, each in zip(REASONS, failures, strict=True))
    assert bars == [len(PAIRS)] * 2
    one, two = contents(tmp_path / "out1"), contents(tmp_path / "out2")
    assert sorted(one) == ["8.flac", "9.wav", "sub/1.wav"] and one == two
    expected = tiny_voice.convert(root / "a b.wav", [root / "é.wav", root / "c.wav"]).wav
    np.testing.assert_allclose(audio_io.read(tmp_path / "out2/sub/1.wav").wav, expected, atol=1 / 32000)

    with pytest.raises(ModelFileError, match="no such model"):
        convert_pairs(VoiceLoader(model="nobody"), BatchFolders(root=root, out_dir=tmp_path), PAIRS, jobs=2)
    with pytest.raises(WorkerError, match="one of 2 processes was killed"):
        convert_pairs(Suicidal(), BatchFolders(root=root, out_dir=tmp_path / "none"), PAIRS, jobs=2)


class Suicidal(VoiceLoader):
    """VoiceLoader whose loading kills the process."""

    def load(self) -> Voice:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_processes_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(batch, "available_cpus", lambda: 4)
    monkeypatch.setattr(batch, "_GPU", tmp_path / "none")
    assert [default_jobs(rows, "auto") for rows in (1, 15, 16, 1000)] == [1, 1, 2, 4]
    assert default_jobs(1000, "cuda:1") == 1
    monkeypatch.setattr(batch, "_GPU", tmp_path)
    assert default_jobs(1000, "auto") == 1 and default_jobs(1000, "cpu") == 4


GROWTH = """
import sys
from pathlib import Path
import torch
from voiceae.conversion.batch import PairRow
from voiceae.conversion.batch import BatchFolders, VoiceLoader
from voiceae.conversion.batch import convert_pairs

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def progress(results):
    for number, result in enumerate(results):
        assert result is None, result
        if number % 50 == 49:
            print(resident_mb(), flush=True)
        yield result

root = Path(sys.argv[2])
pairs = [PairRow(0, f"{n % 40}.wav", (f"{n // 7 % 40}.wav",), f"{n}.wav") for n in range(400)]
loader = VoiceLoader(model=sys.argv[1], vocoder="griffinlim", device="cpu")
convert_pairs(loader, BatchFolders(root=root, out_dir=root / "out"), pairs, jobs=1, progress=progress)
"""


def test_memory_does_not_grow_with_the_files(
    tiny_model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Forty lengths, so that whatever is kept for each length has been kept by the time that it is measured."""
    for number in range(40):
        length = 8000 + 100 * number
        audio_io.write(
            tmp_path / f"{number}.wav", Audio(rng.uniform(-0.3, 0.3, length).astype(np.float32), 16000)
        )
    command = [sys.executable, "-c", GROWTH, str(tiny_model), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_GUARD_SECONDS, check=True)
    resident = [float(line) for line in done.stdout.split()]
    assert len(resident) == 8
    assert resident[-1] - resident[2] < 12, resident
