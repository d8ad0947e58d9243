from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import Run
from tests.conversion.streaming.test_devices import Devices
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio


def test_without_sounddevice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, said = run("live", "--target", "bob.wav")
    assert code == 1
    assert said == "voiceae: error: voiceae live needs the sounddevice library: pip install 'voiceae[live]'"


def test_a_target_is_needed(run: Run) -> None:
    assert run("live")[0] == 2


def test_from_device_to_device(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path
) -> None:
    library = Devices()
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    audio_io.write(tmp_path / "b.wav", Audio((0.1 * np.sin(np.arange(22050) / 20)).astype(np.float32), 22050))
    code, said = run("live", "--target", "b.wav", "--model", tiny_model, "--in", "2")
    assert code == 0 and "error" not in said
    assert len(library.played) == 20
    code, said = run("live", "--target", "b.wav", "--model", tiny_model, "--in", "nobody")
    assert code == 1 and "sound device: No input device matching 'nobody'" in said


def test_targets_are_found_as_by_every_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path
) -> None:
    """A name of the bank, a recording and a stored embedding, each alone and together."""
    monkeypatch.setitem(sys.modules, "sounddevice", Devices())
    monkeypatch.setenv("VOICEAE_BANK", str(tmp_path / "mine.npz"))
    audio_io.write(tmp_path / "b.wav", Audio((0.1 * np.sin(np.arange(22050) / 20)).astype(np.float32), 22050))
    assert run("speakers", "add", "bob", "b.wav", "--model", tiny_model)[0] == 0
    code, said = run("live", "--target", "bob", "--model", tiny_model)
    assert code == 0, said
    code, said = run("live", "--target", "b.wav", "--target", "bob", "--model", tiny_model)
    assert code == 0, said
    monkeypatch.delenv("VOICEAE_BANK")
    code, said = run("live", "--target", "bob", "--bank", tmp_path / "mine.npz", "--model", tiny_model)
    assert code == 0, said
    code, said = run("live", "--target", "bib", "--bank", tmp_path / "mine.npz", "--model", tiny_model)
    assert code == 1 and "no such speaker in the bank" in said and "bob" in said


def test_what_came_too_late_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Devices())
    monkeypatch.setattr("voiceae.conversion.streaming.devices.PlayoutBuffer.put", lambda *_: None)
    audio_io.write(tmp_path / "b.wav", Audio((0.1 * np.sin(np.arange(22050) / 20)).astype(np.float32), 22050))
    code, said = run("live", "--target", "b.wav", "--slack", 0, "--model", tiny_model)
    assert code == 0 and "0.3 s came too late and were silent: try a larger --slack" in said
