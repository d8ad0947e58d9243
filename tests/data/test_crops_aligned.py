"""Aligned pairs in batches: drawn by (seed, step) alone, and nothing else than before where none are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pytest
import torch

from voiceae.data.crops import AlignedPairs, Batch, CropSampler
from voiceae.errors import StoreError
from voiceae.specs import AudioSpec

# Speaker, group and frames. "dee" has one sentence alone, "real" and "true" are in no group.
ROWS = [
    *[(speaker, f"g{n}", 90 + 10 * n) for speaker in ("ann", "bob", "cid") for n in range(4)],
    *[("dee", "g2", 110), ("real", "", 200), ("real", "", 150), ("true", "", 300), ("odd", "lone", 100)],
]
SHAPE = {"crop_frames": 32, "reference_frames": 24, "seed": 5}


@dataclass
class Row:
    index: int
    speaker: str
    group: str
    frames: int


@dataclass
class FakeStore:
    """Bin 0 of a mel says which utterance, bin 1 which frame it is."""

    path: Path = Path("store")
    spec: AudioSpec = field(default_factory=AudioSpec)
    rows: list[tuple[str, str, int]] = field(default_factory=lambda: ROWS)

    def split(self, name: str) -> list[Row]:
        return [Row(index, *row) for index, row in enumerate(self.rows)]

    def mel(self, index: int) -> np.ndarray:
        frames = self.rows[index][2]
        mel = np.full((frames, 80), -3.0, np.float16)
        mel[:, 0], mel[:, 1] = index, np.arange(frames)
        return mel


def crops(share: float, batch_size: int = 256, resident: bool = True, **store: list) -> CropSampler:
    return CropSampler(
        FakeStore(**store), "train", batch_size=batch_size, resident=resident, aligned_share=share, **SHAPE
    )


def items(batch: Batch) -> list[tuple[bool, int, int, int, int, int, int]]:
    """Of each item: aligned, target and its offset, source and its offset, reference and its offset."""
    places = [[each[:, 0, 0], each[:, 1, 0]] for each in (batch.mel, batch.source, batch.reference)]
    columns = [batch.aligned, *(column for pair in places for column in pair)]
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)]  # type: ignore[misc]


@pytest.mark.parametrize("resident", [True, False])
def test_a_pair_is_two_voices_of_one_sentence_at_one_place(resident: bool) -> None:
    batch, pairs = crops(0.4, resident=resident).batch(3), set()
    for aligned, target, offset, source, source_offset, reference, reference_offset in items(batch):
        (voice, group, frames), (other, other_group, _) = ROWS[target], ROWS[source]
        assert offset == source_offset and offset <= frames - 32
        assert ROWS[reference][0] == voice
        if not aligned:
            assert source == target and voice in ("real", "true", "odd")
            continue
        pairs.add((voice, other))
        assert group == other_group != "" and voice != other
        if voice == "dee":
            assert reference == target and reference_offset != offset
        else:
            assert ROWS[reference][1] != group
    assert len(pairs) == 4 * 3, "every voice is heard in every other's melody"
    assert batch.aligned.dtype == torch.bool
    assert batch.mel.shape == batch.source.shape and bool((batch.mask.sum(1) == 32).all())


def test_the_share_is_a_share() -> None:
    shares = [float(crops(share, 4000).batch(0).aligned.float().mean()) for share in (0.0, 0.25, 1.0)]
    np.testing.assert_allclose(shares, [0.0, 0.25, 1.0], atol=0.03)


def test_without_a_share_nothing_changes() -> None:
    plain = CropSampler(FakeStore(), "train", batch_size=64, **SHAPE)
    none, some = plain.batch(2), crops(0.5, 64).batch(2)
    again = crops(0.0, 64).batch(2)
    assert all(torch.equal(getattr(none, each.name), getattr(again, each.name)) for each in fields(Batch))
    assert none.source is none.mel and not none.aligned.any()
    assert {ROWS[int(index)][1] for index in none.index} >= {"", "g0", "g1"}, (
        "groups are ordinary speech then"
    )
    # The other items are the same ones whatever the share is.
    fewer = crops(0.2, 64).batch(2)
    plain_in_both = ~some.aligned & ~fewer.aligned
    assert plain_in_both.any() and torch.equal(some.index[plain_in_both], fewer.index[plain_in_both])


@pytest.mark.parametrize("resident", [True, False])
def test_ranks_share_out_the_pairs_of_one_process(resident: bool) -> None:
    whole = crops(0.5, 96).batch(7)
    parts = [crops(0.5, 32, resident).batch(7, rank, 3) for rank in range(3)]
    assert sorted(items(whole)) == sorted(item for part in parts for item in items(part))
    assert items(parts[0]) == items(crops(0.5, 32, resident).batch(7, 0, 3))
    assert items(whole) != items(crops(0.5, 96).batch(8))


def test_a_store_of_groups_alone_gives_plain_items_of_them() -> None:
    batch = crops(0.5, rows=ROWS[:12]).batch(0)
    assert 0.3 < float(batch.aligned.float().mean()) < 0.7
    assert all(source == target for aligned, target, _, source, *_ in items(batch) if not aligned)


def test_a_share_without_groups_is_refused() -> None:
    for rows in (ROWS[13:16], ROWS[13:]):  # nothing grouped, and a group of one
        with pytest.raises(
            StoreError, match=r"no aligned groups in split 'train'; prepare them with --aligned, or"
        ):
            crops(0.5, rows=rows)


def test_every_other_member_is_drawn_alike() -> None:
    groups = ["x", "", "y", "x", "y", "x", "x"]
    pairs, count = AlignedPairs(groups, 1.0), 30_000
    assert pairs.grouped.tolist() == [True, False, True, True, True, True, True]
    targets, sources = pairs.draw(np.ones(count, int), np.full(count, 3), np.random.default_rng(0))
    assert set(targets) == {3}
    np.testing.assert_allclose(
        np.bincount(sources, minlength=7) / count, np.array([1, 0, 0, 0, 0, 1, 1]) / 3, atol=0.01
    )


def test_a_batch_made_by_hand_has_no_pairs() -> None:
    mel, mask, index = torch.zeros(2, 80, 4), torch.ones(2, 4, dtype=torch.bool), torch.arange(2)
    batch = Batch(mel, mask, mel, mask, index, index)
    assert batch.source is None and batch.aligned.tolist() == [False, False]
