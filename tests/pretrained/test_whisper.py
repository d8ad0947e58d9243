"""Whisper without its package: what is asked of faster-whisper, and what is said where it cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voiceae.errors import ConfigError
from voiceae.pretrained import whisper
from voiceae.pretrained.scorers import knows_english_only, load_scorers
from voiceae.pretrained.whisper import Whisper


class Model:
    """Stands for faster-whisper's; a name that is not cached cannot be downloaded."""

    def __init__(self, model: str, **settings: Any) -> None:
        if model == "gigantic":
            raise OSError("no route to the hub\nand a long trace")
        assert settings == {"device": "cpu", "compute_type": "int8", "cpu_threads": 1}

    def transcribe(self, wav: np.ndarray, **settings: Any) -> tuple[Any, None]:
        assert settings["temperature"] == 0.0
        return iter([SimpleNamespace(text=" Hello"), SimpleNamespace(text=f" {len(wav)}.")]), None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("faster_whisper")
    package.WhisperModel = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    monkeypatch.setattr(whisper, "version", lambda name: "1.0")


def test_words_of_all_segments_are_joined(installed: None) -> None:
    recogniser = Whisper("tiny.en")
    assert recogniser.score(np.zeros(5, np.float32)) == {"transcript": "Hello 5."}
    assert recogniser.version == "whisper-tiny.en-1.0"


def test_folders_of_one_name_are_told_apart(installed: None, tmp_path: Path) -> None:
    versions = set()
    for content in (b"one", b"two"):
        folder = tmp_path / content.decode() / "model"
        folder.mkdir(parents=True)
        with pytest.raises(ConfigError, match=r"has no model\.bin"):
            Whisper(str(folder))
        (folder / "model.bin").write_bytes(content)
        versions.add(Whisper(str(folder)).version)
    assert len(versions) == 2


def test_what_cannot_be_had_is_said_in_one_line(installed: None) -> None:
    with pytest.raises(ConfigError) as error:
        Whisper("gigantic")
    assert str(error.value) == "gigantic: cannot be loaded (OSError: no route to the hub)"


def test_without_the_package_it_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    loaded = load_scorers(("whisper:never-heard-of",))
    assert not loaded.scorers
    assert "pip install faster-whisper" in loaded.missing["whisper:never-heard-of"]


def test_one_model_at_a_time_and_only_whisper_has_models() -> None:
    with pytest.raises(ConfigError, match="one model of whisper at a time"):
        load_scorers(("whisper:a", "whisper:b"))
    with pytest.raises(ConfigError, match="speaker:tiny: no such scorer"):
        load_scorers(("speaker:tiny",))


def test_only_some_models_know_more_than_english() -> None:
    english = {
        name
        for name in ("content", "pocketsphinx", "whisper", "whisper:tiny.en", "mos")
        if knows_english_only(name)
    }
    assert english == {"content", "pocketsphinx", "whisper:tiny.en"}
