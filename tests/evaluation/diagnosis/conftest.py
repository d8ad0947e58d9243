"""One invented store and the four tiny models, trained once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tests.evaluation.diagnosis.worlds as worlds
from voiceae.data.store import FeatureStore


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return FeatureStore.open(worlds.write_store(tmp_path_factory.mktemp("diagnosis") / "world"))


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers with five clips each, to be read in a moment."""
    return worlds.write_store(tmp_path_factory.mktemp("diagnosis") / "small", speakers=6, clips=5)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
