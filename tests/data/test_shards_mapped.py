from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from voiceae.data import shards as mapped
from voiceae.data.shards import ShardReader, shard_path

LENGTHS = [3, 0, 5, 4, 2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, length in enumerate(LENGTHS):
        shard_path(tmp_path, number).parent.mkdir(exist_ok=True)
        np.save(shard_path(tmp_path, number), np.full((length, 2), number, np.float16))
    return tmp_path


def open_maps(root: Path) -> int:
    return sum(str(root) in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_a_few_are_mapped_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "_MOST_MAPPED", 2)
    shards = ShardReader(root, LENGTHS, 2)
    assert open_maps(root) == 0
    view = shards[0][1:]
    assert [shard.shape for shard in shards] == [(length, 2) for length in LENGTHS]
    assert all((shard == number).all() for number, shard in enumerate(shards))
    assert (shards[-1] == 4).all() and [len(shard) for shard in shards[1:3]] == [0, 5]
    assert (view == 0).all()
    del view
    assert open_maps(root) <= 2
    with pytest.raises(IndexError, match="shard 5 of 5"):
        shards[5]


def test_it_goes_to_other_processes_as_a_name(root: Path) -> None:
    shards = ShardReader(root, LENGTHS, 2)
    sent = pickle.dumps(shards)
    assert len(sent) < 500 + len(os.fspath(root))
    assert (pickle.loads(sent)[2] == 2).all()


def test_a_wrong_shard_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"mel-00002.npy is float16 \(5, 2\), not float16 \(6, 2\)"):
        ShardReader(root, [3, 0, 6, 4, 2], 2)
    shard_path(root, 3).unlink()
    with pytest.raises(OSError):
        ShardReader(root, LENGTHS, 2)
