"""Several folders as one corpus: equal speakers are one, equal utterances are told apart, and each is found again."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.data.folders import contents
from voiceae import cli
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore, plan_digest
from voiceae.data.waves import add_waves, wave_path
from voiceae.errors import CorpusError, StoreError

WriteVoice = Callable[..., Path]


@pytest.fixture
def folders(tmp_path: Path, write_voice: WriteVoice) -> list[Path]:
    """`first` has a/1, a/2, b/1; `second` another a/1, and c/1; a voice is known by its pitch."""
    names = {"first": {"a/1": 100, "a/2": 120, "b/1": 140}, "second": {"a/1": 180, "c/1": 200}}
    for folder, files in names.items():
        for name, pitch in files.items():
            write_voice(tmp_path / folder / f"{name}.wav", pitch=pitch, seconds=0.5 + pitch / 400)
    return [tmp_path / folder for folder in names]


def test_equal_speakers_are_one_and_equal_utterances_are_told_apart(
    folders: list[Path], tmp_path: Path
) -> None:
    prepare("folder", folders, tmp_path / "s", jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    rows = [(u.speaker, u.utterance, u.path, u.root) for u in opened.utterances]
    assert rows == [
        ("a", "1", "a/1.wav", 0), ("a", "2", "a/2.wav", 0), ("b", "1", "b/1.wav", 0),
        ("a", "1@2", "a/1.wav", 1), ("c", "1", "c/1.wav", 1),
    ]  # fmt: skip
    assert opened.speakers == ["a", "b", "c"]
    for utterance, folder in zip(opened.utterances, [folders[0]] * 3 + [folders[1]] * 2, strict=True):
        assert opened.audio_path(utterance.index) == folder / utterance.path
    seconds = [u.seconds for u in opened.utterances]
    np.testing.assert_allclose(seconds, [0.7 + p / 400 for p in (100, 120, 140, 180, 200)], atol=0.06)
    with (tmp_path / "s/sources.csv").open() as file:
        assert [(row["root"], row["path"]) for row in csv.DictReader(file)] == [
            (str(r[3]), r[2]) for r in rows
        ]


def test_its_waves_are_read_from_where_they_lie(folders: list[Path], tmp_path: Path) -> None:
    prepare("folder", folders, tmp_path / "s", jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    add_waves(opened)
    samples = np.load(wave_path(tmp_path / "s", 0))
    for utterance in opened.utterances:
        wav = samples[opened.spec.samples(utterance.start) :][: opened.spec.samples(utterance.frames)]
        spectrum = np.abs(np.fft.rfft(wav * np.hanning(len(wav))))
        pitch = np.fft.rfftfreq(len(wav), 1 / 22050)[spectrum.argmax()]
        assert pitch == pytest.approx([100, 120, 140, 180, 200][utterance.index], abs=3)


def test_it_is_known_again_wherever_the_folders_lie(
    folders: list[Path], tmp_path: Path, write_voice: WriteVoice
) -> None:
    prepare("folder", folders, tmp_path / "s", jobs=1)
    before = contents(tmp_path / "s")
    assert prepare("folder", folders, tmp_path / "s", jobs=1).resumed == 1
    assert contents(tmp_path / "s") == before
    (tmp_path / "elsewhere").mkdir()
    moved = [folders[0], folders[1].rename(tmp_path / "elsewhere/moved")]
    prepare("folder", moved, tmp_path / "t", jobs=1)
    one, other = (FeatureStore.open(tmp_path / name).info for name in ("s", "t"))
    assert plan_digest(one) == plan_digest(other)
    with pytest.raises(StoreError, match="another corpus; use --force"):
        prepare("folder", moved[::-1], tmp_path / "t", jobs=1)
    time = os.stat(moved[1] / "a/1.wav").st_mtime_ns
    write_voice(moved[1] / "a/1.wav", pitch=333, seconds=0.5 + 180 / 400)
    os.utime(moved[1] / "a/1.wav", ns=(time + 10**9, time + 10**9))
    with pytest.raises(StoreError, match=r"1 recording \(1\.wav\) changed since the store was made"):
        prepare("folder", moved, tmp_path / "t", jobs=1)


def test_a_report_says_in_which_folder_a_bad_file_lies(folders: list[Path], tmp_path: Path) -> None:
    for folder in folders:
        (folder / "a/notes.wav").write_text("not audio")
        (folder / "a/notes.txt").write_text("not audio")
    with pytest.warns(UserWarning, match="1 not used") as caught:
        prepare("folder", folders, tmp_path / "s", jobs=1)
    assert [str(warning.message).split(":")[0] for warning in caught] == list(map(str, folders))
    with (tmp_path / "s/report.csv").open() as file:
        rows = [(row["path"], row["root"]) for row in csv.DictReader(file)]
    assert rows == [("a/notes.wav", "0"), ("a/notes.wav", "1"), ("a/notes.txt", "0"), ("a/notes.txt", "1")]


def test_what_cannot_be_one_corpus_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="vctk: takes one corpus, 2 were given; several are for folder"):
        prepare("vctk", folders, tmp_path / "s", jobs=1)
    for twice in ([folders[0], folders[0]], [tmp_path, folders[0]], [folders[0], tmp_path]):
        with pytest.raises(CorpusError, match=r"is part of .*; give each folder once"):
            prepare("folder", twice, tmp_path / "s", jobs=1)


def test_a_store_of_an_older_version_is_read_and_left_alone(
    small_corpus: Path, store: Path, tmp_path: Path
) -> None:
    """As one looked before the columns root, group, first_sample and band."""
    from shutil import copytree

    from tests.data.folders import OPTIONS

    old = Path(copytree(store, tmp_path / "old"))
    for name, later in (("utterances.csv", 4), ("sources.csv", 0), ("report.csv", 0)):
        with (old / name).open(newline="") as file:
            rows = list(csv.reader(file))
        kept = [
            row[:-4] if later else [c for c, n in zip(row, rows[0], strict=True) if n != "root"]
            for row in rows
        ]
        with (old / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(kept)
    info = (old / "store.json").read_text().replace(' "other_corpora": [],\n', "")
    (old / "store.json").write_text(info)
    before = contents(old)
    opened = FeatureStore.open(old)
    assert {(u.root, u.group, u.first_sample, u.band) for u in opened.utterances} == {(0, "", 0, 8000.0)}
    assert opened.audio_path(5).is_file()
    assert prepare("folder", small_corpus, old, options=OPTIONS, jobs=1).utterances == 160
    assert contents(old) == before
    add_waves(opened)


def test_the_command_takes_several(folders: list[Path], tmp_path: Path) -> None:
    given = [
        "prepare",
        "folder",
        *map(str, folders),
        "--out",
        str(tmp_path / "s"),
        "--no-progress",
        "--jobs",
        "1",
    ]
    done = CliRunner().invoke(cli.voiceae, given, catch_exceptions=False)
    assert "5 utterances of 3 speakers" in done.output
