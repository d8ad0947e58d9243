"""Packs of Opus: sizes, lengths to the sample, speakers whole."""

from __future__ import annotations

import io
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.recipes.conftest import write_buzz

SCRIPT = Path(__file__).resolve().parents[2] / "recipes/base/pack.py"


def pack(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two corpora of three speakers each at three rates; one speaker is in both."""
    root = tmp_path_factory.mktemp("corpora")
    for number, speaker in enumerate(("one/a", "one/b", "one/c", "two/c", "two/d", "two/e")):
        for utterance in range(3):
            name = f"{speaker}/{speaker[:3]}_{utterance}.wav"
            write_buzz(
                root / name, pitch=100 + 20 * number, seed=number, rate=(48000, 16000, 11025)[utterance]
            )
    return [root / "one", root / "two"]


def test_every_recording_is_in_a_pack_that_is_small_enough(corpora: list[Path], tmp_path: Path) -> None:
    done = pack(*corpora, "--out", tmp_path, "--mib", "0.045")
    assert done.returncode == 0, done.stderr
    where: dict[str, set[str]] = {}
    names = []
    packs = sorted(tmp_path.iterdir())
    assert len(packs) > 1 and [path.name for path in packs] == [
        f"speech-{n + 1}.tar" for n in range(len(packs))
    ]
    for path in packs:
        assert path.stat().st_size <= 0.045 * 2**20
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                names.append(name)
                where.setdefault(name.split("/")[0], set()).add(path.name)
    assert len(set(names)) == len(names) == 18
    assert all(len(packs) == 1 for packs in where.values()) and set(where) == set("abcde")


def test_sound_and_length_stay(corpora: list[Path], tmp_path: Path) -> None:
    assert pack(corpora[0], "--out", tmp_path, "--name", "aligned").returncode == 0
    with tarfile.open(tmp_path / "aligned-1.tar") as tar:
        for utterance, rate in enumerate((24000, 16000, 8000)):
            member = tar.extractfile(f"a/one_{utterance}.opus")
            assert member is not None
            data = member.read()
            wav, own = soundfile.read(io.BytesIO(data))
            assert (own, len(wav)) == (rate, rate)  # a second each
            assert len(data) < 3_500  # at 16 kbit/s 2,000, and the headers of Ogg
            if utterance == 1:
                original = soundfile.read(corpora[0] / "a/one_1.wav")[0]
                assert np.corrcoef(wav, original)[0, 1] > 0.8


def test_recordings_of_one_name_are_refused(corpora: list[Path], tmp_path: Path) -> None:
    done = pack(corpora[0], corpora[0], "--out", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "would have its name" in done.stderr
    done = pack(tmp_path, "--out", tmp_path)
    assert done.returncode == 1 and "no recordings" in done.stderr


def test_a_speaker_larger_than_a_pack_is_refused(tmp_path: Path) -> None:
    packed = runpy.run_path(str(SCRIPT))["packed"]
    with pytest.raises(SystemExit, match="b: takes more than a pack"):
        list(packed(iter([("a/1", b"x"), ("b/1", b"x" * 50_000)]), 40_000))
