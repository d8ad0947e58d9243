"""Files in parts: sizes, order, what a smaller file leaves behind."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

PARTS = runpy.run_path(str(Path(__file__).resolve().parents[2] / "recipes/common/parts.py"))
split, join = PARTS["split"], PARTS["join"]


def random_bytes(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def test_parts_are_no_larger_than_asked_and_join_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(random_bytes(11_500))  # twelve parts: 10 follows 9
    parts = split(tmp_path / "model.safetensors", tmp_path / "parts", 1_000)
    assert [part.name for part in parts] == [f"model.safetensors.{number}" for number in range(12)]
    assert sorted(tmp_path.glob("parts/*")) == sorted(parts)
    assert {part.stat().st_size for part in parts} == {1_000, 500}
    joined = join(tmp_path / "parts", tmp_path / "joined")
    assert list(joined) == ["model.safetensors"]
    assert joined["model.safetensors"].read_bytes() == random_bytes(11_500)


def test_a_smaller_file_leaves_no_part_of_the_larger_one(tmp_path: Path) -> None:
    file, folder = tmp_path / "vocoder.safetensors", tmp_path / "parts"
    for size in (5_000, 2_000):
        file.write_bytes(random_bytes(size))
        split(file, folder, 1_000)
    assert join(folder, tmp_path / "out")["vocoder.safetensors"].read_bytes() == random_bytes(2_000)
    assert len(list(folder.iterdir())) == 2


def test_whole_model_files_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"whole")
    (tmp_path / "metrics.jsonl").write_text("{}")
    assert join(tmp_path, tmp_path / "out") == {"model.safetensors": tmp_path / "model.safetensors"}
