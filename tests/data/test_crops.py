"""Batches: pure in (seed, step, rank), true to the store, and of the same speaker."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from voiceae.data.crops import Batch, CropSampler
from voiceae.errors import StoreError
from voiceae.specs import AudioSpec

LENGTHS = {"anna": [300, 40, 200], "ben": [500], "cleo": [90, 90]}


@dataclass
class Row:
    index: int
    speaker: str
    frames: int


@dataclass
class FakeStore:
    """Every mel value says which utterance (bin 0) and which frame (bin 1) it is."""

    path: Path = Path("store")
    spec: AudioSpec = field(default_factory=AudioSpec)

    def split(self, name: str) -> list[Row]:
        pairs = [(s, n) for s, lengths in LENGTHS.items() for n in lengths] if name == "train" else []
        return [Row(i, speaker, frames) for i, (speaker, frames) in enumerate(pairs)]

    def mel(self, index: int) -> np.ndarray:
        frames = self.split("train")[index].frames
        mel = np.full((frames, 80), -3.0, np.float16)
        mel[:, 0], mel[:, 1] = index + 1, np.arange(frames)
        return mel


def crops(seed: int = 0, batch_size: int = 64, resident: bool = True) -> CropSampler:
    return CropSampler(
        FakeStore(), "train", batch_size=batch_size, crop_frames=64, reference_frames=80, seed=seed,
        resident=resident,
    )  # fmt: skip


def test_a_batch_is_a_function_of_seed_step_and_rank():
    one, again = crops().batch(5, 1, 2), crops().batch(5, 1, 2)
    assert torch.equal(one.mel, again.mel) and torch.equal(one.reference, again.reference)
    for other in (crops().batch(5, 0, 2), crops().batch(6, 1, 2), crops(seed=1).batch(5, 1, 2)):
        assert not torch.equal(one.index, other.index) or not torch.equal(one.mel, other.mel)


def test_ranks_and_steps_never_share_a_draw():
    drawn = [crops().batch(step, rank, 3).mel[:, 1, 0] for step in range(4) for rank in range(3)]
    assert len({tuple(d.tolist()) for d in drawn}) == 12


def test_crops_are_runs_of_one_utterance():
    batch = crops().batch(0)
    assert batch.mel.shape == (64, 80, 64) and batch.reference.shape == (64, 80, 80)
    rows = FakeStore().split("train")
    for mel, mask, index, speaker in zip(batch.mel, batch.mask, batch.index, batch.speaker, strict=True):
        row = rows[int(index)]
        valid = int(mask.sum())
        assert mask[:valid].all() and valid == min(64, row.frames)
        assert (mel[0, :valid] == row.index + 1).all()
        assert torch.equal(mel[1, :valid].diff(), torch.ones(valid - 1))
        assert torch.allclose(mel[:, valid:], torch.tensor(np.log(1e-5), dtype=torch.float32))
        assert sorted(LENGTHS)[int(speaker)] == row.speaker


def test_reference_is_another_utterance_of_the_speaker_or_another_part():
    rows = FakeStore().split("train")
    seen = set()
    for step in range(20):
        batch = crops().batch(step)
        for mel, reference, index in zip(batch.mel, batch.reference, batch.index, strict=True):
            row, other = rows[int(index)], rows[int(reference[0, 0]) - 1]
            assert other.speaker == row.speaker
            seen.add((row.speaker, row.index == other.index))
            if row.speaker == "ben":
                ours, theirs = set(mel[1].tolist()), set(reference[1].tolist())
                assert len(ours & theirs) < 64
    assert seen == {("anna", False), ("ben", True), ("cleo", False)}


def test_one_utterance_gives_apart_parts_mostly():
    batch = crops(batch_size=2000).batch(0)
    alone = batch.index == 3
    overlap = (batch.mel[alone, 1, :1] < batch.reference[alone, 1, -1:]) & (
        batch.reference[alone, 1, :1] < batch.mel[alone, 1, -1:]
    )
    assert overlap.float().mean() < 0.25


def test_speakers_are_drawn_by_the_root_of_what_they_recorded():
    short = CropSampler(FakeStore(), "train", batch_size=50_000, crop_frames=1, reference_frames=1, seed=0)
    counts = np.bincount(short.batch(0).speaker.numpy())
    expected = np.sqrt([sum(LENGTHS[name]) for name in sorted(LENGTHS)])
    np.testing.assert_allclose(counts / counts.sum(), expected / expected.sum(), atol=0.01)


def test_an_empty_split_is_refused():
    with pytest.raises(StoreError, match="no utterances in split 'valid_speakers'"):
        CropSampler(FakeStore(), "valid_speakers", batch_size=1, crop_frames=8, reference_frames=8, seed=0)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, each.name), getattr(other, each.name)) for each in fields(Batch))


def joined(batches: list[Batch]) -> dict[str, torch.Tensor]:
    """Several ranks' batches as one, its rows in the order of what is in them."""
    whole = {each.name: torch.cat([getattr(b, each.name) for b in batches]) for each in fields(Batch)}
    keys = torch.stack([whole["index"], whole["mel"][:, 1, 0], whole["reference"][:, 1, 0]]).numpy()
    order = torch.from_numpy(np.lexsort(keys))
    return {name: value[order] for name, value in whole.items()}


def test_mapped_shards_give_the_same_batches_bit_for_bit():
    mapped = crops(resident=False)
    for step in (0, 1, 2, 7, 3):  # ahead, and not
        assert same(mapped.batch(step), crops().batch(step))
    assert same(mapped.batch(0), mapped.batch(0))


@pytest.mark.parametrize("resident", [True, False])
def test_ranks_share_out_the_batch_of_one_process(resident: bool):
    whole = crops(batch_size=96).batch(5)
    parts = [crops(batch_size=32, resident=resident).batch(5, rank, 3) for rank in range(3)]
    for name, value in joined([whole]).items():
        assert torch.equal(value, joined(parts)[name]), name


@dataclass
class ManySpeakers(FakeStore):
    """Forty speakers with ten utterances each."""

    def split(self, name: str) -> list[Row]:
        return [Row(index, f"s{index // 10:02d}", 70) for index in range(400)]

    def mel(self, index: int) -> np.ndarray:
        return np.full((70, 80), -3.0, np.float16)


RANKS = 8


@pytest.fixture(scope="module")
def shared_out() -> list[list[Batch]]:
    """By rank, the batches of ten steps from a mapped store."""
    shape = {"batch_size": 32, "crop_frames": 8, "reference_frames": 8, "seed": 0, "resident": False}
    ranks = [CropSampler(ManySpeakers(), "train", **shape) for _ in range(RANKS)]
    return [[each.batch(step, rank, RANKS) for step in range(10)] for rank, each in enumerate(ranks)]


def test_a_rank_reads_its_own_part_of_a_mapped_store(shared_out: list[list[Batch]]):
    parts = [set(torch.cat([each.index for each in batches]).tolist()) for batches in shared_out]
    assert sum(map(len, parts)) < 2 * 400  # each utterance is read by one rank or, where parts meet, by two
    assert len(parts[0] & parts[4]) == 0


def test_a_rank_of_a_mapped_store_hears_many_speakers(shared_out: list[list[Batch]]):
    """Or another item of its batch is no other voice."""
    for batches in shared_out:
        speakers = torch.stack([each.speaker for each in batches])
        assert float((speakers == speakers.roll(1, 1)).float().mean()) < 0.1
        assert np.mean([len(each.unique()) for each in speakers]) > 16


def test_the_other_of_an_item_is_of_another_speaker_if_there_is_one(shared_out: list[list[Batch]]):
    given = shared_out[0][0]
    assert not (given.speaker == given.speaker[given.other_speaker]).any()

    def other(*speakers: int) -> list[int]:
        return replace(given, speaker=torch.tensor(speakers)).other_speaker.tolist()

    assert other(0, 1, 2, 3) == [3, 0, 1, 2]
    assert other(0, 0, 1, 1) == [3, 3, 1, 1]
    assert other(5, 5, 5) == [2, 0, 1]
    assert other(7) == [0]
