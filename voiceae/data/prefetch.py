"""The next batch, made while the present one is learnt from."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

import torch

Made = TypeVar("Made")
Key = tuple[int, int, int]


class Prefetcher(Generic[Made]):
    """Calls a pure function of (step, rank, world_size) one step ahead of the caller, on a thread of its own.

    Args:
        make: the function; what it waits for (a disk) is what is saved.
        device: that the function puts things on.
    """

    def __init__(self, make: Callable[[int, int, int], Made], device: torch.device | None = None) -> None:
        self._make = make
        # A thread begins on GPU 0: pinning memory there would take half a gigabyte of it for every process.
        on_gpu = device is not None and device.type == "cuda"
        begin: Callable[[], object] | None = partial(torch.cuda.set_device, device) if on_gpu else None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead", initializer=begin)
        self._key: Key | None = None
        self._made: Future[Made] | None = None

    def take(self, step: int, rank: int, world_size: int) -> Made:
        """What the function gives, and begin with the next step."""
        key = (step, rank, world_size)
        expected = self._made if self._key == key else None
        made = expected.result() if expected is not None else self._make(*key)
        self._key = (step + 1, rank, world_size)
        self._made = self._pool.submit(self._make, *self._key)
        return made
