"""How many threads torch computes with, for as long as a block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch `count` threads in this block, and after it what it had.

    Processes that work side by side share the cores already; a second thread each would only make them wait.
    """
    import torch

    before = torch.get_num_threads()
    if count == before:  # setting it, even to the same, wakes the thread pool
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
