from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore
from voiceae.errors import StoreError
from voiceae.specs import AudioSpec


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write_voice: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("store")
    for number in range(4):
        write_voice(root / f"c/Zoë {number % 2}/{number}.wav", seed=number)
    prepare("folder", root / "c", root / "s", jobs=1)
    return root / "s"


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "s"))


def test_opened(store: Path) -> None:
    opened = FeatureStore.open(store)
    assert opened.spec == AudioSpec() and opened.speakers == ["Zoë 0", "Zoë 1"]
    assert [u.index for u in opened.utterances] == [0, 1, 2, 3]
    assert opened.mean.shape == opened.std.shape == (80,) and opened.mean.dtype == np.float32
    mel = opened.mel(2)
    assert mel.shape == (opened.utterances[2].frames, 80) and mel.dtype == np.float16
    assert opened.audio_path(2).is_file()


def test_frames_are_mapped_not_read(store: Path) -> None:
    mel = FeatureStore.open(str(store)).mel(1)
    assert not mel.flags.writeable and not mel.flags.owndata


def test_utterances_do_not_overlap(store: Path) -> None:
    opened = FeatureStore.open(store)
    assert sum(u.frames for u in opened.utterances) == sum(len(shard) for shard in opened.shards)
    assert [u.start for u in opened.utterances] == list(
        np.cumsum([0] + [u.frames for u in opened.utterances[:-1]])
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garble(path: Path) -> None:
    path.write_bytes(b"\x00garbage")


@pytest.mark.parametrize("damage", [cut, garble, Path.unlink])
@pytest.mark.parametrize("name", ["store.json", "utterances.csv", "statistics.npz", "shards/mel-00000.npy"])
def test_damage_is_one_clear_line(store: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(store / name)
    with pytest.raises(StoreError) as caught:
        FeatureStore.open(store)
    message = str(caught.value)
    assert message.startswith(str(store)) and "\n" not in message


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such feature store"):
        FeatureStore.open(tmp_path / "absent")
    with pytest.raises(StoreError, match="is no feature store"):
        FeatureStore.open(tmp_path)


def test_a_newer_format(store: Path) -> None:
    info = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(info | {"format": 99}))
    with pytest.raises(StoreError, match="of format 99, known are up to 1; install a newer"):
        FeatureStore.open(store)


def test_another_spec_does_not_fit_the_shards(store: Path) -> None:
    info = json.loads((store / "store.json").read_text())
    info["spec"]["n_mels"] = 64
    (store / "store.json").write_text(json.dumps(info))
    with pytest.raises(StoreError, match="damaged"):
        FeatureStore.open(store)


def test_unknown_split(store: Path) -> None:
    with pytest.raises(StoreError, match="use one of train, valid_utterances, valid_speakers"):
        FeatureStore.open(store).split("test")
