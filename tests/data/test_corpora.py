from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest

from voiceae.data.corpora import Recording, SpeakerInfo, list_recordings, vctk_speakers
from voiceae.errors import CorpusError


def names(recordings: list[Recording]) -> list[str]:
    return [recording.path.name for recording in recordings]


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_vctk_keeps_every_speaker_with_audio(odd_vctk: Path) -> None:
    recordings = list_recordings("vctk", odd_vctk)
    assert len(recordings) == 14
    assert {recording.speaker for recording in recordings} == {
        "p225",
        "p226",
        "p280",
        "p315",
        "p362",
        "s5",
        "p999",
    }
    by_speaker = {recording.speaker: recording for recording in recordings}
    assert by_speaker["p315"].text is None and by_speaker["p225"].text == "Please call Stella."
    genders = {speaker: recording.gender for speaker, recording in by_speaker.items()}
    assert genders == {
        "p225": "F",
        "p226": "M",
        "p280": "F",
        "p315": "M",
        "p362": "F",
        "s5": "F",
        "p999": None,
    }
    assert by_speaker["p362"].utterance == "p362_002"


def test_vctk_takes_the_other_microphone_where_one_is_missing(odd_vctk: Path) -> None:
    first = names(list_recordings("vctk", odd_vctk, mic="mic1"))
    assert [name for name in first if "mic2" in name] == ["p226_002_mic2.flac"]
    second = names(list_recordings("vctk", odd_vctk, mic="mic2"))
    assert [name for name in second if "mic1" in name] == [
        "p280_001_mic1.flac",
        "p280_002_mic1.flac",
        "p315_001_mic1.flac",
        "p315_002_mic1.flac",
    ]


def test_vctk_speaker_table(odd_vctk: Path, tmp_path: Path) -> None:
    table = vctk_speakers(odd_vctk / "speaker-info.txt")
    assert table["p225"] == SpeakerInfo("F", "English") and table["s5"] == SpeakerInfo("F", "British")
    (tmp_path / "old.txt").write_text("ID AGE GENDER\n\n225  23  F\np300\n")
    assert vctk_speakers(tmp_path / "old.txt") == {
        "p225": SpeakerInfo("F", None),
        "p300": SpeakerInfo(None, None),
    }
    assert vctk_speakers(tmp_path / "absent.txt") == {}


def test_vctk_inside_its_archive_folder(tmp_path: Path) -> None:
    touch(tmp_path, "VCTK-Corpus-0.92/wav48_silence_trimmed/p225/p225_001_mic2.flac")
    assert names(list_recordings("vctk", tmp_path)) == ["p225_001_mic2.flac"]


def test_real_speech_in_vctk_layout(minivctk: Path) -> None:
    recordings = list_recordings("vctk", minivctk)
    assert len(recordings) == 500 and len({recording.speaker for recording in recordings}) == 30
    assert {recording.gender for recording in recordings} == {"F", "M"}
    assert all(recording.text for recording in recordings if recording.speaker.startswith("so"))


def test_libritts(tmp_path: Path) -> None:
    root = tmp_path / "LibriTTS"
    stem = "19_198_000000_000000"
    touch(root, f"train-clean-100/19/198/{stem}.wav", "dev-clean/84/121/84_121_000001_000000.wav")
    (root / f"train-clean-100/19/198/{stem}.normalized.txt").write_text("Ninety-six.")
    (root / f"train-clean-100/19/198/{stem}.original.txt").write_text("96.")
    (root / "speakers.tsv").write_text("READER\tGENDER\tSUBSET\tNAME\n19\tF\ttrain-clean-100\tKara\n")
    found = list_recordings("libritts", root)
    assert [(r.speaker, r.utterance, r.text, r.gender) for r in found] == [
        ("19", stem, "Ninety-six.", "F"),
        ("84", "84_121_000001_000000", None, None),
    ]
    assert names(list_recordings("libritts", root / "train-clean-100")) == [f"{stem}.wav"]
    assert list_recordings("libritts", root / "train-clean-100")[0].gender == "F"
    assert len(list_recordings("libritts", tmp_path)) == 2


def test_folder_takes_any_depth_and_format(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "Zoë B/2/x/b.WAV",
        "Zoë B/a.opus",
        "al/c.mp3",
        "al/notes.txt",
        "al/._c.mp3",
        ".git/d/x.wav",
        "e.wav",
    )
    found = [(r.speaker, r.utterance) for r in list_recordings("folder", tmp_path)]
    assert found == [("Zoë B", "2/x/b"), ("Zoë B", "a"), ("al", "c")]


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        '\ufeffspeaker,path,split,text,other\nb,x/1.wav,valid_speakers,"hi, you",9\na,/abs/2.wav,,,\n',
        encoding="utf-8",
    )
    first, second = list_recordings("csv", tmp_path / "t.csv")
    assert (first.speaker, first.path, first.split, first.text) == ("a", Path("/abs/2.wav"), None, None)
    assert (second.path, second.split, second.text) == (tmp_path / "x/1.wav", "valid_speakers", "hi, you")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "file,speaker\na.wav,b\n",
            "has no column path; its first line must name path, speaker, and names file, speaker",
        ),
        ("", "has no column path and speaker; .*names nothing"),
        ("path,speaker\na.wav,\n", "line 2 has no speaker"),
        ("path,speaker\na.wav,b\na.wav,c\n", "listed twice, lines 2 and 3"),
        ("path,speaker\n", "no recordings found"),
        ("path,speaker\na.wav,b\n.,b\n", r"line 3: path \. is a folder; give an audio file"),
        ("path,speaker\n/,b\n", "line 2: path / is a folder"),
    ],
)
def test_csv_that_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(CorpusError, match=message):
        list_recordings("csv", tmp_path / "t.csv")


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,speaker\n\xff\xfe\x00\x00,b\n")
    with pytest.raises(CorpusError, match="line 2 holds a zero byte, so it is not a table of recordings"):
        list_recordings("csv", tmp_path / "t.csv")


@pytest.mark.parametrize("kind", ["csv", "folder"])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Permissions are no obstacle to the superuser, who may be running this."""
    place = tmp_path / "t.csv" if kind == "csv" else tmp_path
    (tmp_path / "t.csv").write_text("path,speaker\na.wav,b\n")

    def refuse(self: object, *arguments: Any, **options: Any) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    owner, name = (Path, "open") if kind == "csv" else (os, "scandir")
    monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(CorpusError, match=f"^{re.escape(str(place))}: cannot be read.*: Permission denied"):
        list_recordings(kind, place)


@pytest.mark.parametrize("kind", ["vctk", "libritts", "folder"])
def test_another_layout_says_what_was_expected(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, "a.wav", "empty/readme.md")
    with pytest.raises(CorpusError, match=r"<speaker>|one subfolder a speaker"):
        list_recordings(kind, tmp_path)
    with pytest.raises(CorpusError, match="no such corpus"):
        list_recordings(kind, tmp_path / "absent")
    with pytest.raises(CorpusError, match="not a folder"):
        list_recordings(kind, tmp_path / "a.wav")


def test_names_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="vctk, libritts, folder, csv"):
        list_recordings("timit", tmp_path)
    with pytest.raises(CorpusError, match="mic1, mic2"):
        list_recordings("vctk", tmp_path, mic="mic3")
    with pytest.raises(CorpusError, match="csv wants a table"):
        list_recordings("csv", tmp_path)
