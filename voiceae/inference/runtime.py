"""Where to compute, and with how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from voiceae.errors import ConfigError
from voiceae.threads import torch_threads

GFLOP_WORTH_A_THREAD = 4.0
"""Work of one call (0.1 s on one core) below which a second thread costs more than it saves."""

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def resolve_device(device: str | torch.device) -> torch.device:
    """Device by name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: for a device that is unknown, or that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device {device!r}: is unknown; use auto, cpu, cuda or cuda:1") from None
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {device}: this machine has {torch.cuda.device_count()} usable GPUs; use auto or cpu"
        )
    if resolved.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {device}: is not supported; use auto, cpu, cuda or cuda:1")
    return resolved


def available_cpus() -> int:
    """Processors that this process may really use: its affinity and, in a container, its quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(cpus, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file outside a container; "max" is no number
        return cpus


def thread_count(gflop: float) -> int:
    """Threads for a call of so much work, never more than torch was already given."""
    if gflop < GFLOP_WORTH_A_THREAD:
        return 1
    return min(torch.get_num_threads(), available_cpus())


@contextmanager
def inference(device: torch.device, gflop: float) -> Iterator[None]:
    """Inference mode, with a thread count that fits the work while the block runs."""
    count = thread_count(gflop) if device.type == "cpu" else torch.get_num_threads()
    with torch_threads(count), torch.inference_mode():
        yield
