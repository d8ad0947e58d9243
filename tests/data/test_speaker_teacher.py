"""A teacher's vectors: of the recording that a row stands for, in the rows' order, asked once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from voiceae.data.prepare import prepare
from voiceae.data.speaker_teacher import add_speaker_teacher, read_speaker_teacher, teacher_path
from voiceae.data.store import FeatureStore
from voiceae.errors import StoreError
from voiceae.io import audio
from voiceae.pretrained.dvector import SAMPLE_RATE, DVectorEncoder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    root = tmp_path_factory.mktemp("taught")
    for speaker in ("slt", "rms"):
        for number in (1, 2):
            (root / "corpus" / speaker).mkdir(parents=True, exist_ok=True)
            shutil.copy(clips / f"{speaker}_{number}.flac", root / "corpus" / speaker / f"{number}.flac")
    prepare("folder", root / "corpus", root / "store", jobs=1)
    assert read_speaker_teacher(FeatureStore.open(root / "store")) is None
    add_speaker_teacher(FeatureStore.open(root / "store"))
    return root / "store"


@pytest.fixture(scope="module")
def clips() -> Path:
    return Path(__file__).parents[2] / "recipes/demo/clips"


def test_every_row_has_the_vector_of_its_own_recording(taught: Path) -> None:
    store = FeatureStore.open(taught)
    vectors, teacher = read_speaker_teacher(store), DVectorEncoder()
    assert vectors is not None and vectors.shape == (4, 256)
    for row in store.utterances:
        wanted = teacher.embed(audio.load(store.audio_path(row.index), SAMPLE_RATE).wav)
        np.testing.assert_allclose(vectors[row.index], wanted, atol=1e-5)
    names = np.array([row.speaker for row in store.utterances])
    cosines = vectors @ vectors.T
    same = names[:, None] == names
    assert cosines[same].min() > cosines[~same].max()


def test_vectors_of_others_and_damaged_ones_are_refused(taught: Path, tmp_path: Path) -> None:
    shutil.copytree(taught, tmp_path / "store")
    store = FeatureStore.open(tmp_path / "store")
    store.info["listing"] = "another"
    with pytest.raises(StoreError, match="was made for another store"):
        read_speaker_teacher(store)
    np.save(teacher_path(tmp_path / "store", 0), np.zeros((3, 256), np.float32))
    with pytest.raises(StoreError, match="the shard has 4 utterances"):
        read_speaker_teacher(FeatureStore.open(tmp_path / "store"))
    teacher_path(tmp_path / "store", 0).unlink()
    with pytest.raises(StoreError, match="prepare again with --speaker-teacher"):
        read_speaker_teacher(FeatureStore.open(tmp_path / "store"))


def test_a_replaced_recording_is_refused(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    write_voice(tmp_path / "c/a/1.wav", seed=1)
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    write_voice(tmp_path / "c/a/1.wav", seed=1, pitch=200.0)
    with pytest.raises(StoreError, match="is not the recording that the store was made from"):
        add_speaker_teacher(FeatureStore.open(tmp_path / "s"))
