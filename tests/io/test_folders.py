from __future__ import annotations

import os
from pathlib import Path

import pytest

from voiceae.conversion.batch import find_recordings
from voiceae.data.corpora import list_recordings


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """A corpus as it comes off other people's disks."""
    root = tmp_path / "c"
    touch(
        root, "ann/1.WAV", "ann/2.aiff", "ann/3.CAF", "ann/4.au", "ann/5.w64", "ann/deep/6.Mp3", "loose.wav"
    )
    touch(root, "ann/._1.WAV", "ann/.DS_Store", "ann/Thumbs.db", "__MACOSX/ann/._1.wav", ".git/x.wav")
    touch(root, "ann/notes.txt", "ann/7.m4a", "ann/no suffix", "other/8.flac")
    touch(tmp_path, "elsewhere/9.wav")
    (root / "ben").symlink_to(tmp_path / "elsewhere")  # a speaker on another disk
    (root / "ann/round").symlink_to(root)
    (root / "again").symlink_to(root / "other")
    (root / "ann/gone.wav").symlink_to(root / "nowhere.wav")
    (root / "ann/itself.wav").symlink_to(root / "ann/itself.wav")
    os.mkfifo(root / "ann/pipe.wav")
    return root


USED = ["ann/1.WAV", "ann/2.aiff", "ann/3.CAF", "ann/4.au", "ann/5.w64", "ann/deep/6.Mp3", "ben/9.wav"]
USED += ["loose.wav", "other/8.flac"]


def test_everything_is_either_used_or_listed(messy: Path) -> None:
    from voiceae.io.folders import describe_unused_files, find_audio_files

    found = find_audio_files(messy)
    assert [path.relative_to(messy).as_posix() for path in found.files] == USED
    why = {each.path.relative_to(messy).as_posix(): each.why.partition(" (")[0] for each in found.unused}
    assert why == {
        ".git": "hidden",
        "__MACOSX": "left there by a system",
        "again": "a link to a folder that is there already",
        "ann/._1.WAV": "hidden",
        "ann/.DS_Store": "hidden",
        "ann/7.m4a": "of a format that is not read",
        "ann/Thumbs.db": "left there by a system",
        "ann/gone.wav": "a link to nothing",
        "ann/itself.wav": "closed",
        "ann/no suffix": "not audio",
        "ann/notes.txt": "not audio",
        "ann/pipe.wav": "neither file nor folder",
        "ann/round": "a link to a folder that is there already",
    }
    line = describe_unused_files(messy, found.unused)
    assert line.startswith(f"{messy}: 13 not used (3 hidden: .git, ann/.DS_Store, ann/._1.WAV; ")
    assert "\n" not in line


def test_all_commands_walk_alike(messy: Path) -> None:
    with pytest.warns(UserWarning, match="13 not used"):
        embedded = find_recordings([messy])
    with pytest.warns(UserWarning, match="14 not used .*1 beside the speakers' folders: loose.wav"):
        prepared = {each.path: each.speaker for each in list_recordings("folder", messy)}
    assert {path: name for path, name in embedded.items() if path.name != "loose.wav"} == prepared
    assert sorted(set(prepared.values())) == ["ann", "ben", "other"]


def test_folders_that_link_to_each_other_are_walked_once(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(12)]
    for name in names:
        touch(tmp_path, f"{name}/1.wav")
    for name in names:
        for other in names:
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
    from voiceae.io.folders import find_audio_files

    found = find_audio_files(tmp_path)
    assert len(found.files) == 12 and len(found.unused) == 144
