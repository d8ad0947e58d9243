"""Where to compute, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from voiceae.errors import ConfigError
from voiceae.threads import available_cpus, torch_threads

GFLOP_WORTH_A_THREAD = 4.0
"""Work of one call (0.1 s on one core) below which a second thread costs more than it saves."""


def resolve_device(device: str | torch.device) -> torch.device:
    """Device by name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: for a device that is unknown, or that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if type(device) is not str and not isinstance(device, torch.device):
            raise TypeError  # torch takes numbers for GPUs
        resolved = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        raise ConfigError(f"device {device!r}: is unknown; use auto, cpu, cuda or cuda:1") from None
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {device}: this machine has {torch.cuda.device_count()} usable GPUs; use auto or cpu"
        )
    if resolved.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {device}: is not supported; use auto, cpu, cuda or cuda:1")
    return resolved


def thread_count(gflop: float) -> int:
    """Threads for a call of so much work, never more than torch was already given."""
    if gflop < GFLOP_WORTH_A_THREAD:
        return 1
    return min(torch.get_num_threads(), available_cpus())


@contextmanager
def inference(device: torch.device, gflop: float) -> Iterator[None]:
    """Inference mode, in a command with a thread count that fits the work while the block runs.

    Within another program torch computes with as many threads as that has given it; where the cores are shared with
    other work, `torch.set_num_threads(1)` makes short clips quicker there too.
    """
    count = thread_count(gflop) if device.type == "cpu" else torch.get_num_threads()
    with torch_threads(count), torch.inference_mode():
        yield
