from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.audio import io
from voiceae.audio.io import Audio
from voiceae.errors import AudioError
from voiceae.inference.collect import embed_files, find_recordings, speaker_of
from voiceae.inference.voice import Voice


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name in ("b/2.wav", "b/deep/1.flac", "ä/x y.ogg"):
        io.write(tmp_path / "in" / name, Audio(rng.uniform(-0.3, 0.3, 16000).astype(np.float32), 16000))
    (tmp_path / "in" / "b" / "notes.txt").write_text("not audio")
    return tmp_path / "in"


def test_each_file_once_and_sorted(folder: Path) -> None:
    found = find_recordings([folder, folder / "b", folder / "b/2.wav"])
    assert [str(path.relative_to(folder)) for path in found] == ["b/2.wav", "b/deep/1.flac", "ä/x y.ogg"]
    assert [speaker_of(path) for path in found] == ["b", "deep", "ä"]


def test_nothing_to_find(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="holds no audio"):
        find_recordings([folder, tmp_path / "empty"])
    with pytest.raises(AudioError, match="no such file or folder"):
        find_recordings([folder / "nobody"])


def test_speaker_of_a_relative_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "b")
    assert speaker_of(Path("2.wav")) == "b"


def test_bad_files_are_passed_over(tiny_voice: Voice, folder: Path) -> None:
    (folder / "b/0.wav").write_text("no audio")
    collected = embed_files(tiny_voice, find_recordings([folder]))
    assert [failure.where for failure in collected.failures] == [str(folder / "b/0.wav")]
    assert collected.table.speaker_names == ("b", "deep", "ä")
    np.testing.assert_allclose(collected.table.embeddings[0], tiny_voice.embed(folder / "b/2.wav"))
    assert collected.table.model == tiny_voice.fingerprint


def test_no_good_file_at_all(tiny_voice: Voice, folder: Path) -> None:
    bad = [folder / "b/notes.txt", folder / "b/none.wav"]
    with pytest.raises(AudioError, match=r"none of 2 files could be used; the first: .*notes.txt"):
        embed_files(tiny_voice, bad)
    with pytest.raises(AudioError, match=r"^(?!none of).*none.wav: no such file"):
        embed_files(tiny_voice, bad[1:])
