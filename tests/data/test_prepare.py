from __future__ import annotations

import csv
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.data.folders import OPTIONS, contents
from voiceae import cli
from voiceae.commands.prepare import command
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore, PrepareOptions
from voiceae.errors import ConfigError, CorpusError, StoreError
from voiceae.io.audio import UpperBandWarning
from voiceae.specs import AudioSpec


def invoke(arguments: list[str]) -> Result:
    """By way of the group: click keeps the options that a command was first called with, and `-h` is the group's."""
    return CliRunner().invoke(cli.voiceae, ["prepare", *arguments], catch_exceptions=False)


def test_a_store_holds_what_it_should(store: Path) -> None:
    assert set(contents(store)) == {
        "prepare.json",
        "store.json",
        "utterances.csv",
        "report.csv",
        "sources.csv",
        "statistics.npz",
        "shards/mel-00000.npy",
        "shards/mel-00001.npy",
        "shards/mel-00002.npy",
    }
    opened = FeatureStore.open(store)
    assert len(opened.utterances) == 160 and len(opened.speakers) == 6
    assert len(opened.split("valid_speakers")) == 40
    assert len(opened.split("valid_utterances")) == round(0.1 * (6 * 20 + 3)), (
        "bad files are drawn from as well"
    )


def test_bad_files_are_listed_with_the_reason(store: Path) -> None:
    with (store / "report.csv").open() as file:
        report = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert set(report) == {"sp0/text.wav", "sp1/silent.wav", "sp2/cut.flac"}
    assert "is text, not audio" in report["sp0/text.wav"]
    assert "is silent" in report["sp1/silent.wav"]
    assert "truncated" in report["sp2/cut.flac"]


def test_statistics_are_those_of_the_training_frames(store: Path) -> None:
    opened = FeatureStore.open(store)
    frames = np.concatenate([opened.mel(u.index).astype(np.float64) for u in opened.split("train")])
    np.testing.assert_allclose(opened.mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(opened.std, np.maximum(frames.std(axis=0), 0.01), rtol=1e-4)


def test_two_processes_make_the_same_bytes(store: Path, small_corpus: Path, tmp_path: Path) -> None:
    prepared = prepare("folder", small_corpus, tmp_path / "s", options=OPTIONS, jobs=2)
    assert contents(tmp_path / "s") == contents(store)
    line = str(prepared)
    assert line.endswith(f"; 1 more), see {tmp_path / 's' / 'report.csv'}") and "\n" not in line
    assert re.search(r"; 3 skipped \(sp0/text\.wav: is text.*; sp1/silent\.wav: is silent.*; 1 more\)", line)


def test_the_last_line_names_what_was_skipped(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    write_voice(tmp_path / "c/a/1.wav")
    arguments = ["folder", str(tmp_path / "c"), "--jobs", "1", "--no-progress", "--out"]
    done = invoke([*arguments, str(tmp_path / "none")])
    assert done.output.splitlines()[-1].endswith("; none skipped")
    write_voice(tmp_path / "c/a/2.wav", seconds=0.1)
    for _ in range(2):  # a finished store says it again
        done = invoke([*arguments, str(tmp_path / "one")])
        last = done.output.splitlines()[-1]
        assert done.exit_code == 0
        assert re.search(r"; 1 skipped \(a/2\.wav: .*at least 0\.5 s.*\), see .*report\.csv$", last), last
    assert "The exit status is 0 all the same" in (command.epilog or "")


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy, torch
from voiceae.data import prepare as p

torch.set_num_threads(1)
corpus, out = sys.argv[1:3]
options = p.PrepareOptions(valid_speakers=2, valid_utterances=0.1, seed=4)
save, savez, write_text = numpy.save, numpy.savez, Path.write_text

def prepare_dying(where, count):
    def die(path, half):
        nonlocal count
        count -= 1
        if count == 0:
            Path(path).write_bytes(half)
            os.kill(os.getpid(), signal.SIGKILL)
    def dying_save(path, array):
        if where == "shard":
            die(path, array.tobytes()[:1000])
        save(path, array)
    def dying_savez(path, **arrays):
        if where == "statistics":
            die(path, b"PK half")
        savez(path, **arrays)
    def dying_write(self, text, **options):
        if where in str(self):
            die(self, text[: len(text) // 2].encode())
        return write_text(self, text, **options)
    numpy.save, numpy.savez, Path.write_text = dying_save, dying_savez, dying_write
    p.prepare("folder", corpus, out, options=options, jobs=1)

for where, count in (("/.prepare-", 1), ("shard", 2), ("/records/", 1), ("statistics", 1), ("/.store-", 1)):
    child = os.fork()
    if not child:
        prepare_dying(where, count)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    records = sorted(path.name for path in Path(out).glob("records/0*.json"))
    shards = [numpy.load(path, mmap_mode="r").dtype for path in Path(out).glob("shards/mel-*.npy")]
    print(where, os.WTERMSIG(status), len(records), len(shards), (Path(out) / "store.json").exists())
"""


def test_killed_again_and_again_it_still_makes_the_same_bytes(
    store: Path, small_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    command = [sys.executable, "-c", KILLED, str(small_corpus), str(out)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == [
        "/.prepare- 9 0 0 False",
        "shard 9 1 1 False",
        "/records/ 9 1 2 False",
        "statistics 9 3 3 False",
        "/.store- 9 3 3 False",
    ]
    with pytest.raises(StoreError, match="not finished; run the same prepare again"):
        FeatureStore.open(out)
    prepared = prepare("folder", small_corpus, out, options=OPTIONS, jobs=1)
    assert prepared.resumed == 3
    assert contents(out) == contents(store)


def test_a_finished_store_is_left_alone(store: Path, small_corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    prepared = prepare("folder", small_corpus, store, options=OPTIONS, jobs=1)
    assert (prepared.utterances, prepared.skipped, prepared.resumed) == (160, 3, 3)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_a_corpus_with_nothing_usable(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    write_voice(tmp_path / "c/a/1.wav", seconds=0.1)
    with pytest.raises(CorpusError, match=r"nothing to train on was left.*at least 0\.5 s"):
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    assert not (tmp_path / "s/store.json").exists()


def test_vctk_with_its_quirks(odd_vctk: Path, tmp_path: Path) -> None:
    options = PrepareOptions(valid_speakers=1, mic="mic2")
    assert prepare("vctk", odd_vctk, tmp_path / "s", options=options, jobs=1).skipped == 0
    opened = FeatureStore.open(tmp_path / "s")
    assert len(opened.utterances) == 14 and len({u.speaker for u in opened.utterances}) == 7
    by_path = {Path(u.path).name: u for u in opened.utterances}
    assert by_path["p280_001_mic1.flac"].gender == "F" and by_path["p315_002_mic1.flac"].text == ""
    assert by_path["p225_001_mic2.flac"].text == "Please call Stella."


def test_one_warning_for_a_narrow_corpus(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    for number in range(3):
        write_voice(tmp_path / f"c/a/{number}.wav", rate=8000, seed=number)
    with pytest.warns(UpperBandWarning, match="3 recordings") as caught:
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    assert len(caught) == 1


def test_the_command(small_corpus: Path, tmp_path: Path) -> None:
    arguments = ["folder", str(small_corpus), "--out", str(tmp_path / "s"), "--jobs", "1", "--no-progress"]
    small_mel = ["--spec", '{"n_mels": 20}', "--seed", "7", "--no-trim", "--valid-speakers", "3"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = invoke(arguments + small_mel)
    assert done.exit_code == 0
    assert "160 utterances of 8 speakers, 0.06 h; 3 skipped (sp0/text.wav: " in done.output.splitlines()[-1]
    opened = FeatureStore.open(tmp_path / "s")
    assert opened.spec == AudioSpec(n_mels=20) and opened.info["options"]["seed"] == 7
    for wrong in ("{", '{"mels": 1}', '{"n_mels": 0}', "[1]"):
        with pytest.raises(ConfigError, match="--spec"):
            invoke([*arguments, "--spec", wrong])
