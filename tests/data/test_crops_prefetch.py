"""What is made ahead is what would have been made, and nothing is made twice in a row."""

from __future__ import annotations

import threading

import pytest
import torch

from tests.tiny import HANG_GUARD_SECONDS
from voiceae.data.crops import Prefetcher


def test_the_next_step_is_made_on_another_thread() -> None:
    made: list[tuple[int, bool]] = []
    done = threading.Semaphore(0)

    def make(step: int, rank: int, world_size: int) -> tuple[int, int, int]:
        made.append((step, threading.current_thread() is threading.main_thread()))
        done.release()
        return step, rank, world_size

    ahead = Prefetcher(make)
    for step in (4, 5, 6, 2):
        assert ahead.get(step, 1, 3) == (step, 1, 3)
        assert done.acquire(timeout=HANG_GUARD_SECONDS)
    assert ahead.get(3, 0, 3) == (3, 0, 3), "of another rank"
    ahead._pool.shutdown()
    assert [step for step, here in made if here] == [4, 2, 3]
    assert [step for step, here in made if not here] == [5, 6, 7, 3, 4]


def test_the_thread_works_on_the_gpu_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[object, bool]] = []

    def set_device(device: object) -> None:
        chosen.append((device, threading.current_thread() is threading.main_thread()))

    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    for device in (torch.device("cuda", 3), torch.device("cpu")):
        ahead = Prefetcher(lambda *key: key, device)
        ahead.get(0, 0, 1)
        ahead._pool.shutdown()
    assert chosen == [(torch.device("cuda", 3), False)]
