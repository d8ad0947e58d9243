from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import Run
from tests.tiny import full_disk


@pytest.fixture
def embed(run: Run, tiny_model: Path) -> Run:
    return lambda *arguments: run("embed", "--model", tiny_model, *arguments)


def test_folder_to_table_and_picture(embed: Run, clips: Path) -> None:
    assert embed(clips, "--out", "s.npz", "--plot", "map.png") == (0, "")
    with np.load("s.npz") as table:
        assert [Path(path).name for path in table["paths"]] == ["1.wav", "2.flac", "1.wav"]
        assert list(table["speakers"]) == ["anna", "anna", "bert ö"]
        assert list(table["speaker_names"]) == ["anna", "bert ö"]
        np.testing.assert_allclose(np.linalg.norm(table["embeddings"], axis=1), 1, atol=1e-6)
        mean = table["embeddings"][:2].sum(axis=0)
        np.testing.assert_allclose(table["speaker_embeddings"][0], mean / np.linalg.norm(mean), atol=1e-6)
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")


def test_files_to_csv(embed: Run, clips: Path) -> None:
    assert embed(clips / "anna/2.flac", clips / "anna/1.wav", "--out", "s.csv") == (0, "")
    rows = [line.split(",")[:2] for line in Path("s.csv").read_text().splitlines()]
    assert rows == [
        ["path", "speaker"],
        [str(clips / "anna/1.wav"), "anna"],
        [str(clips / "anna/2.flac"), "anna"],
        ["", "anna"],
    ]


def test_bad_files_are_listed_and_the_rest_is_kept(embed: Run, clips: Path) -> None:
    (clips / "anna/3.wav").write_text("no audio")
    code, said = embed(clips, "--out", "s.npz")
    first, last = said.splitlines()
    assert code == 1 and f"{clips / 'anna/3.wav'}: is text, not audio" in first
    assert last == "voiceae: error: 1 of 4 files could not be used"
    with np.load("s.npz") as table:
        assert len(table["paths"]) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.wav", "--out", "s.npz"], "none.wav: no such file"),
        (["bad.wav", "--out", "s.npz"], "bad.wav: is text, not audio"),
        (["clips", "--out", "s.txt"], "s.txt: embeddings are written as"),
        (["clips", "--out", "s.npz", "--plot", "map.doc"], "map.doc: pictures are drawn as"),
        (["clips", "--out", "there.npz"], "there.npz: exists already"),
        (["clips", "--out", "s.npz", "--plot", "there.png"], "there.png: exists already"),
    ],
)
def test_refused_in_one_line_with_nothing_written(
    embed: Run, clips: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "bad.wav").write_text("no audio at all " * 99)
    (tmp_path / "there.npz").write_text("precious")
    (tmp_path / "there.png").write_text("precious")
    before = set(tmp_path.rglob("*"))
    code, said = embed(*arguments)
    assert code == 1 and said.startswith("voiceae: error: ") and reason in said and said.count("\n") == 0
    assert set(tmp_path.rglob("*")) == before


def test_full_disk(embed: Run, clips: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    for out in ("s.npz", "s.csv"):
        with full_disk(200):
            code, said = embed(clips, "--out", out)
        assert code == 1 and said.startswith(f"voiceae: error: {out}: cannot be written: ")
    assert set(tmp_path.rglob("*")) == before
