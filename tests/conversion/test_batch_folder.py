from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.batch import folder_rows
from voiceae.errors import AudioError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/b/2.wav", "in/a.flac", "in/out/a.flac", "voice.wav"):
        audio_io.write(name, Audio(rng.uniform(-0.3, 0.3, 16000).astype(np.float32), 16000))
    return Path("in")


def test_a_row_for_every_recording_but_results(folder: Path, tmp_path: Path) -> None:
    rows = folder_rows(folder, ["voice.wav"], tmp_path / "in/out")
    assert [(row.where, row.source, row.out) for row in rows] == [
        ("a.flac", "a.flac", "a.flac"),
        ("b/2.wav", "b/2.wav", "b/2.wav"),
    ]
    assert {row.targets for row in rows} == {(str(tmp_path / "voice.wav"),)}
    assert len(folder_rows(folder, ["voice.wav"], Path("elsewhere"))) == 3


def test_what_cannot_begin(folder: Path) -> None:
    audio_io.write("short.wav", Audio(np.full(4000, 0.1, np.float32), 16000))
    with pytest.raises(AudioError, match=r"short\.wav.*0\.5 s"):
        folder_rows(folder, ["voice.wav", "short.wav"], Path("elsewhere"))
    with pytest.raises(AudioError, match="holds no audio but in in"):
        folder_rows(folder, ["voice.wav"], Path("in"))
