"""A corpus in VCTK's layout, and a way to run the recipes as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

SPEAKERS = {
    "p225": "F",
    "p226": "M",
    "p280": "F",
    "p315": "M",
    "p362": "F",
    "p374": "M",
    "s5": "F",
    "p227": "M",
}
UTTERANCES = 5


@pytest.fixture(scope="session")
def recipe() -> Run:
    """Function that runs a recipe of this checkout: path, arguments, `env` to add -> the finished process."""
    if Path(sys.prefix).resolve() != ROOT / ".venv":
        pytest.skip("recipes make .venv when it is not there; run the tests by tests/run.sh, which does")

    def run(path: str, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(ROOT / "recipes" / path), *map(str, arguments)]
        return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def vctk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight speakers at 48 kHz, with what is odd about p280, p315 and p362; a folder with a space."""
    root = tmp_path_factory.mktemp("corpora") / "VCTK 0.92"
    audio = root / "wav48_silence_trimmed"
    for number, speaker in enumerate(SPEAKERS):
        # The second microphone of p280 and p315 failed.
        for mic in ("mic1",) if speaker in ("p280", "p315") else ("mic1", "mic2"):
            for utterance in range(1, UTTERANCES + 1):
                name = f"{speaker}/{speaker}_{utterance:03d}_{mic}.flac"
                write_buzz(audio / name, pitch=90 + 15 * number, seed=10 * number + utterance)
        if speaker != "p315":  # its texts were lost
            write_texts(
                root / "txt" / speaker, UTTERANCES + (speaker == "p362")
            )  # a text of p362 has no audio
    rows = [f"{name}  23  {sex}    English    Surrey" for name, sex in SPEAKERS.items()]
    (root / "speaker-info.txt").write_text(
        "\n".join(["ID  AGE  GENDER  ACCENTS  REGION COMMENTS", *rows, ""])
    )
    return root


def write_buzz(path: Path, *, pitch: float, seed: int, rate: int = 48000) -> None:
    """A second of harmonics whose pitch and loudness move."""
    rng = np.random.default_rng(seed)
    time = np.arange(rate) / rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(1, 3) * time))) / rate
    wav = sum(np.sin(k * phase) / k for k in range(1, 20)) * (1.2 + np.sin(2 * np.pi * 4 * time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.05 * wav + 1e-4 * rng.standard_normal(rate), rate)


def write_texts(folder: Path, count: int) -> None:
    """Texts of utterances 1 to `count`."""
    folder.mkdir(parents=True)
    for utterance in range(1, count + 1):
        (folder / f"{folder.name}_{utterance:03d}.txt").write_text("Please call Stella.\n")
