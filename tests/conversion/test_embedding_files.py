from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.embedding_files import EmbeddingTable, is_stored, read_stored
from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.errors import EmbeddingError, OutputError


@pytest.fixture
def table(rng: np.random.Generator) -> EmbeddingTable:
    vectors = rng.standard_normal((4, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = ["z/1.wav", "a/2.wav", "a/10.wav", "é ü/1.wav"]
    profile = {
        path: SpeakerProfile(vector, pitch)
        for path, vector, pitch in zip(places, vectors, [1, 2, 4, None], strict=True)
    }
    return EmbeddingTable.from_profiles(profile, {path: path.split("/")[0] for path in places}, "f00d")


def test_sorted_and_averaged(table: EmbeddingTable) -> None:
    assert table.paths == ("a/10.wav", "a/2.wav", "z/1.wav", "é ü/1.wav")
    assert table.speakers == ("a", "a", "z", "é ü") and table.speaker_names == ("a", "z", "é ü")
    mean = table.embeddings[:2].sum(axis=0)
    np.testing.assert_allclose(table.speaker_embeddings[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(table.speaker_pitch_centres, [3, 1, np.nan])


def test_npz_holds_plain_arrays(table: EmbeddingTable, tmp_path: Path) -> None:
    table.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        assert not any(arrays[name].dtype.hasobject for name in arrays.files)
        assert arrays["embeddings"].dtype == np.float32 and arrays["embeddings"].shape == (4, 6)
        assert tuple(arrays["paths"]) == table.paths and tuple(arrays["speakers"]) == table.speakers
        assert tuple(arrays["speaker_names"]) == table.speaker_names
        np.testing.assert_array_equal(arrays["speaker_embeddings"], table.speaker_embeddings)


def test_csv_holds_the_same(table: EmbeddingTable, tmp_path: Path) -> None:
    table.save(tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    vectors = np.array([[row[f"e{index}"] for index in range(6)] for row in rows], np.float32)
    np.testing.assert_array_equal(vectors, np.concatenate([table.embeddings, table.speaker_embeddings]))
    assert [row["path"] for row in rows] == [*table.paths, "", "", ""]
    assert [row["speaker"] for row in rows] == [*table.speakers, *table.speaker_names]


def test_read_back_by_speaker_by_path_and_alone(table: EmbeddingTable, tmp_path: Path) -> None:
    file = tmp_path / "s.npz"
    table.save(file)
    profile = read_stored(f"{file}:a", "f00d")
    np.testing.assert_allclose(profile.embedding, table.speaker_embeddings[0], atol=1e-6)
    assert profile.pitch_centre == 3.0
    np.testing.assert_allclose(read_stored(f"{file}:a/2.wav").embedding, table.embeddings[1], atol=1e-6)
    assert read_stored(f"{file}:é ü").pitch_centre is None
    with pytest.raises(
        EmbeddingError, match=r"several speakers; name one, as in .*s.npz:a \(it has a, z, é ü\)"
    ):
        read_stored(str(file))
    with pytest.raises(EmbeddingError, match="no speaker 'b'"):
        read_stored(f"{file}:b")
    with pytest.raises(EmbeddingError, match="made with model f00d, this one is beef"):
        read_stored(f"{file}:a", "beef")


def test_older_tables_know_no_covariance(rng: np.random.Generator, tmp_path: Path) -> None:
    root = rng.standard_normal((5, 5)).astype(np.float32)
    colour = MelStatistics(
        *rng.standard_normal((2, 4)).astype(np.float32), frames=9.0, covariance=root @ root.T
    )
    voices = {
        "a/1.wav": SpeakerProfile(np.eye(6, dtype=np.float32)[0], 1.0, colour),
        "b/1.wav": SpeakerProfile(np.ones(6)),
    }
    made = EmbeddingTable.from_profiles(voices, {"a/1.wav": "a", "b/1.wav": "b"}, "f00d")
    file, old = tmp_path / "new.npz", tmp_path / "old.npz"
    made.save(file)
    with np.load(file) as arrays:
        np.savez(old, **{name: arrays[name] for name in arrays.files if "covariance" not in name})
    for profile in (
        read_stored(f"{file}:a"),
        read_stored(f"{file}:a/1.wav"),
        EmbeddingTable.read(file).profile(0),
    ):
        np.testing.assert_allclose(profile.mel_statistics.covariance, colour.covariance, rtol=1e-6)
    for profile in (
        read_stored(f"{old}:a"),
        read_stored(f"{old}:a/1.wav"),
        EmbeddingTable.read(old).profile(0),
    ):
        assert profile.mel_statistics.frames == 9.0 and profile.mel_statistics.covariance is None
    assert (
        EmbeddingTable.read(file).profile(1).mel_statistics
        is None
        is EmbeddingTable.read(old).profile(1).mel_statistics
    )


def test_what_counts_as_stored() -> None:
    assert all(map(is_stored, ["a.npy", "a b/é.npz", "a.npz:x", "a.npz:x/y.wav", "A.NPZ"]))
    assert not any(map(is_stored, ["a.wav", "a.npzz", "npz", "a.npy.wav"]))


def test_damaged_files(tmp_path: Path, table: EmbeddingTable) -> None:
    file = tmp_path / "s.npz"
    with pytest.raises(EmbeddingError, match="no such file"):
        read_stored(f"{file}:a")
    table.save(file)
    whole = file.read_bytes()
    for damaged in (b"", b"not a zip", whole[:-30], whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(EmbeddingError):
            read_stored(f"{file}:a")
    np.savez(file, something=np.ones(3))
    with pytest.raises(EmbeddingError, match="is not a table of voiceae embed"):
        read_stored(f"{file}:a")
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(EmbeddingError):
        read_stored(str(tmp_path / "o.npy"))


def test_outputs_refused_at_the_door(table: EmbeddingTable, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"written as \.npz or \.csv"):
        table.save(tmp_path / "s.txt")
    table.save(tmp_path / "s.npz")
    with pytest.raises(OutputError, match="--force"):
        table.save(tmp_path / "s.npz")
    table.save(tmp_path / "s.npz", force=True)


def test_columns_under_another_name_are_not_lost_without_a_word(
    table: EmbeddingTable, tmp_path: Path
) -> None:
    file, other = tmp_path / "table.npz", tmp_path / "other.npz"
    table.save(file)
    with np.load(file) as arrays:
        names = {name: name.replace("mel_statistics", "colours") for name in arrays.files}
        np.savez(other, **{names[name]: arrays[name] for name in arrays.files})
    with pytest.warns(
        UserWarning, match="columns colours, speaker_colours are not known here and are left out"
    ):
        assert EmbeddingTable.read(other).profile(0).mel_statistics is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EmbeddingTable.read(file)
