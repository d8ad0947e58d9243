"""Files whose names are no UTF-8, begin formulas, or hold what moves a terminal's cursor: files like others."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import Run
from voiceae.conversion.embedding_files import EmbeddingTable
from voiceae.data.store import FeatureStore
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio

# pytest-xdist sends every recorded warning from process to process, and cannot encode those that quote such a name.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAMES = [os.fsdecode(b"l\xe9n"), "a$b$_{^", "two\nlines\tand tabs", "\x1b[2J", "ö" * 100]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    for name in NAMES:
        audio_io.write(
            tmp_path / "c" / name / f"{name}.wav",
            Audio(0.1 * rng.standard_normal(16000).astype(np.float32), 16000),
        )
    return tmp_path / "c"


def test_a_batch_with_such_names_is_done(run: Run, tiny_model: Path, folder: Path) -> None:
    model = ["--model", tiny_model, "--vocoder", "griffinlim"]
    target = folder / NAMES[1] / f"{NAMES[1]}.wav"
    code, said = run("convert", folder, "--target", target, "--out-dir", "o", "--jobs", "1", *model)
    assert code == 0, said
    assert sorted(path.stem for path in Path("o").rglob("*.wav")) == sorted(NAMES)
    for out in ("e.npz", "e.csv"):
        assert (
            run("embed", folder, "--out", out, *model[:2], *(["--plot", "m.png"] if out == "e.npz" else []))[
                0
            ]
            == 0
        )
    assert sorted(EmbeddingTable.read("e.npz").speaker_names) == sorted(NAMES)
    with Path("e.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert {row["speaker"] for row in csv.DictReader(file)} == set(NAMES)
    assert (
        run("convert", folder, "--target", f"e.npz:{NAMES[0]}", "--out-dir", "p", "--jobs", "1", *model)[0]
        == 0
    )


def test_a_store_of_such_names(run: Run, folder: Path) -> None:
    assert run("prepare", "folder", folder, "--out", "s", "--jobs", "1", "--waves", "--no-progress")[0] == 0
    store = FeatureStore.open("s")
    assert {each.speaker for each in store.utterances} == set(NAMES)
    assert all(store.audio_path(each.index).is_file() for each in store.utterances)
    json.loads(Path("s/store.json").read_text(encoding="utf-8"))
    assert run("prepare", "folder", folder, "--out", "s", "--jobs", "1", "--no-progress")[0] == 0


def test_one_bad_name_sinks_no_batch(run: Run, tiny_model: Path, folder: Path) -> None:
    good = f"{NAMES[1]}/{NAMES[1]}.wav"
    rows = [["y" * 300 + ".wav", good, "1.wav"], [good, good, "2.wav"], [good, good, "z" * 300 + ".wav"]]
    rows += [[good, f"{'y' * 300}.wav", "3.wav"], [good, good, "sub/" * 1100 + "4.wav"]]
    with (folder / "p.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["source", "target", "out"], *rows])
    model = ["--model", tiny_model, "--vocoder", "griffinlim"]
    code, said = run("convert", "--pairs", folder / "p.csv", "--out-dir", "o", "--jobs", "1", *model)
    lines = [line for line in said.splitlines() if "warning" not in line]
    assert code == 1 and [path.name for path in Path("o").rglob("*.wav")] == ["2.wav"]
    assert len(lines) == 5 and lines[-1] == "voiceae: error: 4 of 5 pairs could not be used"


def test_a_user_without_a_home_is_told_so(
    run: Run, tiny_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "VOICEAE_BANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("getpwuid(): uid not found: 12345"))
    )
    code, said = run("speakers", "list", "--model", tiny_model)
    assert (code, said) == (1, "voiceae: error: this user has no home folder; set HOME or XDG_DATA_HOME")
    source = folder / NAMES[1] / f"{NAMES[1]}.wav"
    arguments = ["convert", source, "--target", source, "--out", "x.wav", "--model", tiny_model]
    assert run(*arguments, "--vocoder", "griffinlim")[0] == 0
