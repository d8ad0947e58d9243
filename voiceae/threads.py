"""How many processors there are to use, and how many threads torch computes with while a block runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cpus() -> int:
    """Processors that this process may really use: its affinity and, in a container, its quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(cpus, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file outside a container; "max" is no number
        return cpus


def own_threads() -> None:
    """Say that this process is ours alone, so that its thread count may follow the work: for commands and workers.

    The count belongs to the whole process, and torch hands it on to threads that start later. Within somebody else's
    program, where several threads may convert at once, it is theirs to set, and `torch_threads` leaves it alone.
    """
    global _owned
    _owned = True


_owned = False


def one_thread() -> AbstractContextManager[None]:
    """One thread for torch in this block; nothing to do where torch is not at work, and has not been imported."""
    return torch_threads(1) if "torch" in sys.modules else nullcontext()


def wait_passively() -> None:
    """Let the threads of a computation sleep while they wait for each other, unless the user has said otherwise.

    Threads that spin make small convolutions many times slower on a machine that has other work to do. OpenMP reads
    this when torch is first imported, so it cannot be set later.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch `count` threads in this block, and after it what it had, where the process is ours (`own_threads`).

    Processes that work side by side share the cores already; a second thread each would only make them wait.
    """
    import torch

    before = torch.get_num_threads()
    if not _owned or count == before:  # setting it, even to the same, wakes the thread pool
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
