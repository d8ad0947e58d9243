"""`recipes/vctk/run.sh`: every stage on a small corpus, reruns, the download, and wrong use."""

from __future__ import annotations

import csv
import hashlib
import json
import runpy
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.recipes.conftest import ROOT, SPEAKERS, UTTERANCES, Run
from voiceae.io import modelfile

STAGES = ["prepare", "train", "convert", "embed", "evaluate"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(recipe: Run, vctk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """OUT after every stage, in a folder with a space, with training of a toy model."""
    out = tmp_path_factory.mktemp("results") / "of vctk"
    done = recipe(
        "vctk/run.sh",
        *(
            "--corpus",
            vctk,
            "--out",
            out,
            "--experiment",
            "debug",
            "--jobs",
            "1",
            "--pairs",
            "1",
            "--scorers",
            "speaker",
        ),
        "trainer.max_steps=2",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("== stage")] == [
        "== stage -1, download",
        *(f"== stage {number}, {name}" for number, name in enumerate(STAGES)),
    ]
    yield out


def test_odd_speakers_are_kept(finished: Path) -> None:
    table = rows(finished / "store/utterances.csv")
    assert {row["speaker"] for row in table} == set(SPEAKERS)
    assert len(table) == UTTERANCES * len(SPEAKERS)
    assert {row["speaker"] for row in table if not row["text"]} == {"p315"}


def test_pairs_are_held_out_and_go_both_ways_between_the_sexes(finished: Path) -> None:
    held_out = {
        row["speaker"] for row in rows(finished / "store/utterances.csv") if row["split"] == "valid_speakers"
    }
    pairs = rows(finished / "pairs.csv")
    assert {row[side] for row in pairs for side in ("source_speaker", "target_speaker")} <= held_out
    for row in pairs:
        assert row["direction"] == f"{SPEAKERS[row['source_speaker']]}-{SPEAKERS[row['target_speaker']]}"
        assert all(Path(path).parent.name == row["target_speaker"] for path in row["target"].split(";"))
    assert {row["direction"] for row in pairs} == {"F-M", "M-F"}
    assert len({row["out"] for row in pairs}) == len(pairs)


def test_every_pair_is_converted(finished: Path) -> None:
    for row in rows(finished / "pairs.csv"):
        info = soundfile.info(finished / "converted" / row["out"])
        assert (info.samplerate, info.frames) == (22050, 22050)


def test_every_speaker_is_embedded_and_drawn(finished: Path) -> None:
    with np.load(finished / "speakers.npz") as table:
        assert set(table["speaker_names"]) == set(SPEAKERS)
    assert (finished / "speakers.png").read_bytes().startswith(b"\x89PNG")


def test_the_summary_scores_every_pair(finished: Path) -> None:
    report = json.loads((finished / "summary/report.json").read_text())
    assert len(report["pairs"]) == len(rows(finished / "pairs.csv")) == 2


def test_a_rerun_does_nothing(recipe: Run, vctk: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.*") if path.is_file()}
    again = ("--corpus", vctk, "--out", finished, "--experiment", "debug", "trainer.max_steps=2")
    done = recipe("vctk/run.sh", *again, "--stage", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished before") == len(STAGES)
    del before[finished / "made-from.txt"]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_results_of_other_options_are_not_mixed(recipe: Run, vctk: Path, finished: Path) -> None:
    done = recipe("vctk/run.sh", "--corpus", vctk, "--out", finished, "--experiment", "debug", "seed=1")
    assert done.returncode == 1
    assert "choose another --out" in done.stderr.splitlines()[-1]


def test_minutes_on_a_gpu_are_rehearsed_in_steps_on_a_cpu(recipe: Run, vctk: Path, tmp_path: Path) -> None:
    small = [
        f"model.{part}.{size}"
        for part in ("content", "speaker", "decoder")
        for size in ("channels=16", "n_blocks=1")
    ]
    small += ["data.batch_size=4", "data.crop_frames=32", "data.reference_frames=32"]
    given = ["--corpus", vctk, "--out", tmp_path, "--experiment", "vctk", "--device", "cpu", "--jobs", "1"]
    done = recipe("vctk/run.sh", *given, "--steps", "2", "--stop-stage", "1", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    joined = runpy.run_path(str(ROOT / "recipes/common/parts.py"))["join"](
        tmp_path / "weights", tmp_path / "joined"
    )
    header = modelfile.read_header(joined["model.safetensors"])
    assert header.extra["name"] == "vctk" and [leg["steps"] for leg in header.extra["legs"]] == [2, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_long_training_is_not_begun_without_a_gpu(recipe: Run, vctk: Path, tmp_path: Path) -> None:
    done = recipe("vctk/run.sh", "--corpus", vctk, "--out", tmp_path, "--experiment", "vctk")
    assert done.returncode == 1 and "want a GPU" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "store").exists()


@pytest.fixture(scope="module")
def archive(vctk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as its publisher packs it, though smaller."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed; stage -1 downloads with it")
    path = tmp_path_factory.mktemp("publisher") / "VCTK-Corpus-0.92.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(vctk.rglob("*.*")):
            packed.write(file, file.relative_to(vctk))
    return path


def published(archive: Path) -> dict[str, str]:
    return {"VCTK_URL": archive.as_uri(), "VCTK_SHA256": hashlib.sha256(archive.read_bytes()).hexdigest()}


def test_the_download_goes_on_where_it_stopped(
    recipe: Run, vctk: Path, archive: Path, tmp_path: Path
) -> None:
    whole = archive.read_bytes()
    (tmp_path / "VCTK-Corpus-0.92.zip.part").write_bytes(whole[:1000])
    done = recipe("vctk/run.sh", "--corpus", tmp_path, "--stop-stage", "-1", **published(archive))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "VCTK-Corpus-0.92.zip").read_bytes() == whole
    audio = "wav48_silence_trimmed/p362/p362_002_mic2.flac"
    assert (tmp_path / audio).read_bytes() == (vctk / audio).read_bytes()
    assert not (tmp_path / ".unpacking").exists()
    again = recipe("vctk/run.sh", "--corpus", tmp_path, "--stop-stage", "-1", VCTK_URL="file:///nowhere")
    assert (again.returncode, "is there already" in again.stdout) == (0, True)


def test_a_wrong_checksum_is_refused(recipe: Run, archive: Path, tmp_path: Path) -> None:
    other = {**published(archive), "VCTK_SHA256": "0" * 64}
    done = recipe("vctk/run.sh", "--corpus", tmp_path, "--stop-stage", "-1", **other)
    assert done.returncode == 1
    assert "SHA-256" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "wav48_silence_trimmed").exists()


def test_offline_it_says_where_to_put_the_corpus(recipe: Run, tmp_path: Path) -> None:
    done = recipe(
        "vctk/run.sh",
        "--corpus",
        tmp_path / "c",
        "--out",
        tmp_path / "o",
        VCTK_URL="http://127.0.0.1:9/x.zip",
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vctk: error: VCTK 0.92 could not be downloaded")
    assert f"into {tmp_path / 'c'}" in last
    assert not (tmp_path / "o").exists()


def test_a_folder_of_something_else_is_not_filled(recipe: Run, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    done = recipe("vctk/run.sh", "--corpus", tmp_path)
    assert (done.returncode, "neither VCTK" in done.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize("wrong", [["--stage", "5"], ["--stage"], ["--speed", "1"], ["--stop-stage", "all"]])
def test_wrong_use_is_code_2(recipe: Run, wrong: list[str]) -> None:
    done = recipe("vctk/run.sh", *wrong)
    assert done.returncode == 2
    assert done.stderr.startswith("vctk: ")


def test_help_lists_stages_and_options(recipe: Run) -> None:
    done = recipe("vctk/run.sh", "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in (*STAGES, "--corpus", "--stop-stage", "--experiment"))
