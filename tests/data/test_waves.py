from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from voiceae import cli
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore
from voiceae.data.waves import WaveCropSampler, add_waves, wave_path
from voiceae.dsp.mel import LogMel
from voiceae.errors import StoreError

SHAPE = {"batch_size": 6, "crop_frames": 24, "reference_frames": 16, "seed": 3}


@pytest.fixture(scope="module")
def with_waves(store: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    root = tmp_path_factory.mktemp("waves") / "store"
    shutil.copytree(store, root)
    add_waves(FeatureStore.open(root))
    return FeatureStore.open(root)


def test_the_wave_of_a_crop_has_its_mel(with_waves: FeatureStore) -> None:
    batch = WaveCropSampler(with_waves, "train", **SHAPE).batch(5)
    assert batch.wav.shape == (6, 24 * with_waves.spec.hop_length)
    mel = LogMel(with_waves.spec)(batch.wav)
    inside = ((mel - batch.mel) * batch.mask[:, None])[:, 4:40, 3:-3].abs()
    assert float(inside.median()) < 0.02  # 16 bits are coarse where there is no sound
    assert float(inside.mean(1).max()) < 0.5  # a frame off, and the onset of the buzz costs several nats


def test_the_mels_are_those_that_plain_crops_draw(with_waves: FeatureStore) -> None:
    from voiceae.data.crops import CropSampler

    ours, theirs = (kind(with_waves, "train", **SHAPE).batch(2) for kind in (WaveCropSampler, CropSampler))
    assert torch.equal(ours.mel, theirs.mel) and torch.equal(ours.reference, theirs.reference)


def test_shards_that_have_waves_are_left_alone(with_waves: FeatureStore) -> None:
    path = wave_path(with_waves.path, 0)
    before = path.stat().st_mtime_ns
    add_waves(with_waves)
    assert path.stat().st_mtime_ns == before


def test_a_store_without_waves_says_how_to_add_them(store: Path) -> None:
    with pytest.raises(StoreError, match="has no waves; add them with voiceae prepare"):
        WaveCropSampler(FeatureStore.open(store), "train", **SHAPE)


@pytest.mark.parametrize("wrong", ["longer", "shorter", "cut", "float"])
def test_waves_that_are_not_those_of_the_mels_are_refused(
    with_waves: FeatureStore, tmp_path: Path, wrong: str
) -> None:
    root = tmp_path / "store"
    shutil.copytree(with_waves.path, root)
    path = wave_path(root, 0)
    samples = np.load(path)
    if wrong == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        kinds = {
            "longer": np.append(samples, samples[:256]),
            "shorter": samples[:-1],
            "float": samples / np.float32(32768),
        }
        np.save(path, kinds[wrong])
    with pytest.raises(StoreError, match=r"wave-00000\.npy: .*prepare again with --force --waves"):
        WaveCropSampler(FeatureStore.open(root), "train", **SHAPE)


def test_a_corpus_that_is_gone_or_changed_is_refused(store: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(store, root)
    opened = FeatureStore.open(root)
    opened.info["corpus"] = str(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="cannot be read any more"):
        add_waves(opened)
    assert not list(root.glob("waves/*.npy"))
    assert np.load(next(root.glob("shards/*.npy")), mmap_mode="r").size


def test_force_takes_the_old_waves_away(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    for number in range(3):
        write_voice(tmp_path / f"c/a/{number}.wav", seed=number)
    arguments = ["folder", str(tmp_path / "c"), "--out", str(tmp_path / "s"), "--jobs", "1", "--no-progress"]
    for options in (["--no-trim"], ["--trim", "--force"]):
        done = CliRunner().invoke(
            cli.voiceae, ["prepare", *arguments, "--waves", *options], catch_exceptions=False
        )
        assert done.exit_code == 0
    made = FeatureStore.open(tmp_path / "s")
    samples = len(np.load(wave_path(made.path, 0)))
    assert samples == made.spec.samples(sum(u.frames for u in made.utterances))
    batch = WaveCropSampler(made, "train", **SHAPE).batch(0)
    inside = ((LogMel(made.spec)(batch.wav) - batch.mel) * batch.mask[:, None])[:, 4:40, 3:-3].abs()
    assert float(inside.median()) < 0.02


def test_waves_of_another_store_are_refused_and_made_again(store: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(store, root)
    add_waves(FeatureStore.open(root))
    whole = np.load(wave_path(root, 0))
    np.save(wave_path(root, 0), whole[:-256])
    with pytest.raises(StoreError, match=f"holds int16 .{len(whole) - 256},., .* for {len(whole)} samples"):
        WaveCropSampler(FeatureStore.open(root), "train", **SHAPE)
    other = FeatureStore.open(root)
    other.info["listing"] = "another"
    with pytest.raises(StoreError, match="its waves are of an earlier store"):
        WaveCropSampler(other, "train", **SHAPE)
    (root / "waves/made-from.json").unlink()  # as before stores said it
    add_waves(FeatureStore.open(root))
    np.testing.assert_array_equal(np.load(wave_path(root, 0)), whole)


def test_waves_are_made_of_the_recordings_that_the_store_was_made_from(
    tmp_path: Path, write_voice: Callable[..., Path]
) -> None:
    write_voice(tmp_path / "c/a/1.wav", seed=1)
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    write_voice(tmp_path / "c/a/1.wav", seed=1, pitch=200.0)
    with pytest.raises(StoreError, match="is not the recording that the store was made from"):
        add_waves(FeatureStore.open(tmp_path / "s"))
