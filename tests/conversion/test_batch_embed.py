from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.batch import embed_files, find_recordings, speaker_of
from voiceae.conversion.voice import Voice
from voiceae.data.corpora import list_recordings
from voiceae.errors import AudioError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name in ("b/2.wav", "b/deep/1.flac", "ä/x y.ogg"):
        audio_io.write(tmp_path / "in" / name, Audio(rng.uniform(-0.3, 0.3, 16000).astype(np.float32), 16000))
    (tmp_path / "in" / "b" / "notes.txt").write_text("not audio")
    return tmp_path / "in"


def test_each_file_once_and_sorted(folder: Path) -> None:
    found = find_recordings([folder, folder / "b", folder / "b/2.wav"])
    assert [str(path.relative_to(folder)) for path in found] == ["b/2.wav", "b/deep/1.flac", "ä/x y.ogg"]


def test_speakers_are_the_subfolders_of_a_given_folder(folder: Path) -> None:
    assert list(find_recordings([folder]).values()) == ["b", "b", "ä"]
    assert list(find_recordings([folder / "b"]).values()) == ["b", "deep"]
    assert list(find_recordings([folder / "b/2.wav", folder / "b/deep/1.flac"]).values()) == ["b", "deep"]


def test_sessions_of_the_same_name_are_of_different_speakers(folder: Path) -> None:
    for name in ("alice", "bob"):
        (folder / name / "day1").mkdir(parents=True)
        (folder / "b/2.wav").rename(folder / name / "day1/a.wav")
        (folder / "b/2.wav").write_bytes((folder / name / "day1/a.wav").read_bytes())
    found = {path.relative_to(folder).as_posix(): name for path, name in find_recordings([folder]).items()}
    assert (found["alice/day1/a.wav"], found["bob/day1/a.wav"]) == ("alice", "bob")
    voices = {recording.path: recording.speaker for recording in list_recordings("folder", folder)}
    assert find_recordings([folder]) == voices, "as voiceae prepare folder groups them"


def test_the_first_way_a_file_is_given_decides(folder: Path) -> None:
    inner = folder / "b/deep/1.flac"
    assert find_recordings([folder, inner])[inner] == "b"
    assert find_recordings([inner, folder])[inner] == "deep"


def test_nothing_to_find(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="holds no audio"):
        find_recordings([folder, tmp_path / "empty"])
    with pytest.raises(AudioError, match="no such file or folder"):
        find_recordings([folder / "nobody"])


def test_speaker_of_a_relative_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "b")
    assert speaker_of(Path("2.wav")) == "b"
    assert speaker_of(Path("deep/../2.wav")) == "b"
    assert list(find_recordings(["."]).values()) == ["b", "deep"]
    assert list(find_recordings(["../b/deep"]).values()) == ["deep"]


def test_bad_files_are_passed_over(tiny_voice: Voice, folder: Path) -> None:
    (folder / "b/0.wav").write_text("no audio")
    table, failures = embed_files(tiny_voice, find_recordings([folder]))
    assert [failure.where for failure in failures] == [str(folder / "b/0.wav")]
    assert table.speaker_names == ("b", "ä")
    np.testing.assert_allclose(table.embeddings[0], tiny_voice.embed(folder / "b/2.wav"))
    assert table.model == tiny_voice.fingerprint


def test_no_good_file_at_all(tiny_voice: Voice, folder: Path) -> None:
    bad = {folder / "b/notes.txt": "b", folder / "b/none.wav": "b"}
    with pytest.raises(AudioError, match=r"none of 2 files could be used; the first: .*notes.txt"):
        embed_files(tiny_voice, bad)
    with pytest.raises(AudioError, match=r"^(?!none of).*none.wav: no such file"):
        embed_files(tiny_voice, {folder / "b/none.wav": "b"})
