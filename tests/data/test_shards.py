from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from voiceae.data.corpora import Recording
from voiceae.data.prepare import prepare
from voiceae.data.shards import ShardJob, build_shard, read_record
from voiceae.data.store import FeatureStore, PrepareOptions
from voiceae.dsp.mel import LogMel
from voiceae.io.audio import load
from voiceae.specs import AudioSpec


def test_mels_are_those_of_the_levelled_wave(small_corpus: Path, tmp_path: Path) -> None:
    prepare("folder", small_corpus, tmp_path / "s", options=PrepareOptions(trim=False), jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    utterance = opened.utterances[37]
    wav = load(opened.audio_path(37), 22050).wav.astype(np.float64)
    wav -= wav.mean()
    frames = wav[: len(wav) // 441 * 441].reshape(-1, 441)
    powers = (frames**2).mean(axis=1)
    wav *= 10 ** (-26 / 20) / np.sqrt(powers[powers > powers.mean() / 10].mean())
    wanted = LogMel(AudioSpec()).double()(torch.from_numpy(wav)).numpy().T
    assert opened.mel(37).shape == wanted.shape == (utterance.frames, 80)
    assert utterance.seconds == pytest.approx(len(wav) / 22050, abs=256 / 22050)
    np.testing.assert_allclose(opened.mel(37), wanted, atol=0.01)


def test_trimming_leaves_the_margin(store: Path) -> None:
    opened = FeatureStore.open(store)
    assert all(u.seconds == pytest.approx(0.8 + 2 * 0.1, abs=0.06) for u in opened.utterances)


def job(root: Path, *recordings: Recording) -> ShardJob:
    return ShardJob(
        recordings=recordings,
        spec=AudioSpec(),
        trim=True,
        min_seconds=0.5,
        mel_path=root / "mel.npy",
        record_path=root / "record.json",
    )


def test_a_shard_is_made_once(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    path = write_voice(tmp_path / "a.wav")
    bad = tmp_path / "absent.wav"
    one = job(
        tmp_path,
        Recording(path=bad, speaker="a", utterance="absent", split="train"),
        Recording(path=path, speaker="a", utterance="a", split="train"),
        Recording(path=path, speaker="a", utterance="b", split="valid_utterances"),
    )
    assert read_record(one) is None
    record = build_shard(one)
    frames = record.rows[0][2]
    assert record.skipped == [(0, "no such file; give the path of a recording")]
    assert [row[:3] for row in record.rows] == [(1, 0, frames), (2, frames, frames)]
    assert record.frames == 2 * frames and record.train_frames == frames
    mel = np.load(one.mel_path).astype(np.float64)
    np.testing.assert_allclose(record.total, mel[:frames].sum(axis=0))
    np.testing.assert_allclose(record.squares, (mel[:frames] ** 2).sum(axis=0))
    path.unlink()
    again = build_shard(one)
    assert [tuple(row) for row in again.rows] == record.rows and again.total == record.total


@pytest.mark.parametrize("damage", ["mel.npy", "record.json"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, write_voice: Callable[..., Path], damage: str) -> None:
    one = job(
        tmp_path, Recording(path=write_voice(tmp_path / "a.wav"), speaker="a", utterance="a", split="train")
    )
    build_shard(one)
    whole = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(whole[:-9])
    assert read_record(one) is None
    build_shard(one)
    assert (tmp_path / damage).read_bytes() == whole


def test_threads_are_given_back(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    before = torch.get_num_threads()
    build_shard(job(tmp_path, Recording(path=write_voice(tmp_path / "a.wav"), speaker="a", utterance="a")))
    assert torch.get_num_threads() == before
