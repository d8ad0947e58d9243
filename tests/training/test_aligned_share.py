"""The share of aligned pairs that a training draws, by its config and by what the store has."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from voiceae.data.crops import CropSampler
from voiceae.data.store import FeatureStore
from voiceae.errors import StoreError
from voiceae.training.loop import Training
from voiceae.training.settings import Settings


def crops(settings: Settings, store: Path, split: str) -> CropSampler:
    training: Any = SimpleNamespace(
        settings=settings,
        store=FeatureStore.open(store),
        objective=SimpleNamespace(crops=CropSampler),
        fabric=SimpleNamespace(device="cpu"),
    )
    return Training.crops_of(training, split, 0)


@pytest.fixture
def grouped(store: Path, tmp_path: Path) -> Path:
    """The invented store, with two groups in train and one among the held-out utterances."""
    root = Path(shutil.copytree(store, tmp_path / "grouped"))
    with (root / "utterances.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = {("s0", "u0"): "a", ("s1", "u0"): "a", ("s0", "u1"): "b", ("s2", "u0"): "b"}
    groups |= {("s0", "u3"): "c", ("s1", "u3"): "c"}
    with (root / "utterances.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"group": groups.get((row["speaker"], row["utterance"]), "")} for row in rows)
    return root


def test_pairs_are_drawn_where_there_are_groups(composed: Callable[..., Settings], grouped: Path) -> None:
    settings = composed("data.aligned_share=0.75", "data.batch_size=64")
    aligned = {
        split: float(crops(settings, grouped, split).batch(0).aligned.float().mean())
        for split in ("train", "valid_utterances", "valid_speakers")
    }
    assert aligned["train"] == pytest.approx(0.75, abs=0.2) == aligned["valid_utterances"]
    assert aligned["valid_speakers"] == 0.0
    assert not crops(composed(), grouped, "train").batch(0).aligned.any()


def test_a_store_without_groups_is_refused(composed: Callable[..., Settings], store: Path) -> None:
    with pytest.raises(
        StoreError, match="no aligned groups in split 'train'; prepare them with --aligned"
    ) as caught:
        crops(composed("data.aligned_share=0.1"), store, "train")
    assert "\n" not in str(caught.value)
