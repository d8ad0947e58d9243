"""Recordings and a model for commands, which are run inside this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_model
from voiceae import cli
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder: exit code and standard error without progress bars."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str]:
        code = cli.run([os.fspath(each) if isinstance(each, Path) else str(each) for each in arguments])
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return code, "\n".join(line for line in lines if line.startswith("voiceae: "))

    return call


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Folder of short clips of two speakers."""
    rng = np.random.default_rng(3)
    for name in ("anna/1.wav", "anna/2.flac", "bert ö/1.wav"):
        wav = 0.1 * rng.standard_normal(16000).astype(np.float32)
        audio_io.write(tmp_path / "clips" / name, Audio(wav, 16000))
    return tmp_path / "clips"
