from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.folders import contents
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore, PrepareOptions
from voiceae.errors import OutputError, StoreError
from voiceae.specs import AudioSpec


@pytest.mark.parametrize(
    ("changes", "spec", "message"),
    [
        ({"seed": 5}, AudioSpec(), r"another seed \(4, now 5\); use --force"),
        ({"trim": False}, AudioSpec(), r"another trim \(True, now False\); use --force"),
        ({}, AudioSpec(n_mels=64), r"another n_mels \(80, now 64\)"),
    ],
)
def test_other_options_are_refused(
    store: Path, small_corpus: Path, changes: dict[str, Any], spec: AudioSpec, message: str
) -> None:
    before = contents(store)
    values = {"valid_speakers": 2, "valid_utterances": 0.1, "seed": 4} | changes
    with pytest.raises(StoreError, match=message):
        prepare("folder", small_corpus, store, spec=spec, options=PrepareOptions(**values), jobs=1)
    assert contents(store) == before


def test_a_changed_corpus_needs_force(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    for number in range(4):
        write_voice(tmp_path / f"c/a{number % 2}/{number}.wav", seed=number)
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    write_voice(tmp_path / "c/a1/1.wav", seed=9, seconds=2)
    with pytest.raises(StoreError, match="another corpus; use --force"):
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1, force=True)
    assert FeatureStore.open(tmp_path / "s").utterances[2].seconds == pytest.approx(2.2, abs=0.1)


def test_a_foreign_folder_is_never_touched(tmp_path: Path, small_corpus: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match="no feature store; give another --out"):
        prepare("folder", small_corpus, tmp_path, jobs=1, force=True)
    (tmp_path / "prepare.json").write_text('{"name": "another program"}')
    with pytest.raises(StoreError, match="no feature store; give another --out"):
        prepare("folder", small_corpus, tmp_path, jobs=1, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    with pytest.raises(StoreError, match="is a file"):
        prepare("folder", small_corpus, tmp_path / "thesis.txt", jobs=1)
    with pytest.raises(OutputError, match="cannot be written"):
        prepare("folder", small_corpus, "/proc/nowhere/store", jobs=1)


def test_a_corpus_behind_a_link(small_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(small_corpus)
    prepare("folder", tmp_path / "link", tmp_path / "s", jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    assert opened.utterances[0].path == "sp0/u00.flac" and opened.audio_path(0).is_file()


HELD = """
import sys, time
from pathlib import Path
import numpy
from voiceae.data import prepare as p
from voiceae.errors import VoiceAEError

corpus, out, flags = map(Path, sys.argv[1:])
save = numpy.save

def slow_save(path, array):
    save(path, array)
    (flags / "begun").touch()
    while not (flags / "go").exists():
        time.sleep(0.01)

numpy.save = slow_save
try:
    print(p.prepare("folder", corpus, out, jobs=1))
except VoiceAEError as error:
    sys.exit(str(error))
"""


def test_a_second_prepare_is_refused_by_name_and_spoils_nothing(
    tmp_path: Path, write_voice: Callable[..., Path]
) -> None:
    for number in range(2):
        write_voice(tmp_path / f"c/a{number}/1.wav", seed=number)
    out = tmp_path / "s"
    first = subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path / "c"), str(out), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (tmp_path / "begun").exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.02)
        refused = ""
        for force in (False, True):
            try:
                prepare("folder", tmp_path / "c", out, jobs=1, force=force)
            except OutputError as error:
                refused = str(error)
        (tmp_path / "go").touch()
        said, complaint = first.communicate()
    finally:
        first.kill()
    assert (first.returncode, complaint) == (0, "") and "2 utterances of 2 speakers" in said
    assert f"{out}: is being written by process {first.pid} on " in refused
    assert len(FeatureStore.open(out).utterances) == 2
    assert not [path.name for path in out.rglob(".*")], "neither locks nor halves are left"


def test_a_recording_replaced_by_one_of_its_size_is_noticed(
    tmp_path: Path, write_voice: Callable[..., Path]
) -> None:
    for number in range(4):
        write_voice(tmp_path / f"c/a{number % 2}/{number}.wav", seed=number)
    size = (tmp_path / "c/a1/1.wav").stat().st_size
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    write_voice(tmp_path / "c/a1/1.wav", seed=9, pitch=200.0)
    assert (tmp_path / "c/a1/1.wav").stat().st_size == size
    before = contents(tmp_path / "s")
    with pytest.raises(
        StoreError, match=r"1 recording \(1\.wav\) changed since the store was made; use --force"
    ):
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    assert contents(tmp_path / "s") == before
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1, force=True)
    assert contents(tmp_path / "s")["shards/mel-00000.npy"] != before["shards/mel-00000.npy"]
    os.utime(tmp_path / "c/a1/1.wav")  # another time, the same content
    assert prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1).resumed == 1


def test_a_begun_store_takes_replaced_recordings_anew(
    tmp_path: Path, write_voice: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_voice(tmp_path / f"c/a/{number}.wav", seed=number)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("voiceae.data.prepare._finish", killed)
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    write_voice(tmp_path / "c/a/1.wav", seed=1, pitch=220.0)
    with pytest.warns(
        UserWarning, match=r"1 recording \(1\.wav\) changed since the store was begun; prepared again"
    ):
        assert prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1).resumed == 0
    prepare("folder", tmp_path / "c", tmp_path / "anew", jobs=1)
    assert contents(tmp_path / "s") == contents(tmp_path / "anew")


def test_a_place_may_be_named_relatively_or_through_a_link(
    tmp_path: Path, small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for place in ("relative", "link/store"):
        prepare("folder", small_corpus, place, jobs=1)
        prepare("folder", small_corpus, place, jobs=1)
        assert len(FeatureStore.open(place).utterances)
