"""Processors, threads, devices and precision of this machine."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceae.errors import ConfigError

if TYPE_CHECKING:
    import torch

_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # the second is oneDNN's older name, which it still reads
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2 of Linux; elsewhere there is no such file
GFLOP_WORTH_A_THREAD = 4.0
"""Work of one call, 0.1 s on one core, below which a second thread costs more than it saves."""

_owned = False


@dataclass(frozen=True)
class Bf16Support:
    """Whether a device multiplies bfloat16 itself.

    Attributes:
        native: otherwise products are emulated: measured 8 to 60 times slower than float32 on AVX2, and 2 to 6 times
            on AVX-512 without its bf16 instructions.
        reason: for messages.
    """

    native: bool
    reason: str


def bf16_support(device: str) -> Bf16Support:
    """Support of bfloat16 as torch and oneDNN report it; a timing would flip on a busy machine.

    Args:
        device: kind of device, as in `torch.device.type`.
    """
    import torch

    if device == "cuda":
        # Without `including_emulation`, torch says yes for every GPU since Pascal, the emulated ones included.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return Bf16Support(native, f"this GPU {'has' if native else 'has no'} bf16 units")
    if device != "cpu":
        return Bf16Support(False, f"torch does not say that {device} devices have bf16 units")
    if hasattr(torch.cpu, "get_capabilities"):
        reported = torch.cpu.get_capabilities()
    else:  # torch before 2.11 has no table; every processor with AMX tiles multiplies bf16 in them
        amx, avx512 = torch.cpu._is_amx_tile_supported(), torch.cpu._is_avx512_bf16_supported()
        reported = {"architecture": platform.machine(), "amx_bf16": amx, "avx512_bf16": avx512}
    cap = next((os.environ[name] for name in _CAPS if os.environ.get(name)), "").upper()
    # On the processors that have AMX, the AVX-512 instructions for bf16 alone are no faster than float32: a training
    # step took 1.3 times as long. On those without AMX (AMD from Zen 4 on, Cooper Lake) they do twice the work.
    if reported.get("amx_bf16"):
        unit, enough = "AMX", ("", "DEFAULT", "ALL")
        allowed = cap in enough or "AMX" in cap
    elif reported.get("avx512_bf16"):
        unit, enough = "AVX512_BF16", ("", "DEFAULT", "ALL")
        allowed = cap in enough or any(name in cap for name in ("BF16", "FP16", "AMX", "AVX10"))
    elif reported.get("architecture") != "x86_64" and reported.get("bf16"):
        unit, allowed = "bf16 of ARM", True
    else:
        return Bf16Support(False, "this processor has no bf16 instructions")
    # oneDNN makes these products. It answers for itself, but says yes from plain AVX-512 on; hence its cap is read too.
    if not (
        allowed and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    ):
        limit = f"{_CAPS[0]}={cap}" if cap else "this build of torch"
        return Bf16Support(False, f"this processor has {unit}, but {limit} leaves it out")
    return Bf16Support(True, f"this processor has {unit}")


def available_cpus() -> int:
    """Processors that this process may use: by its affinity (Linux) and its quota in a container."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(cpus, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file outside a container; "max" is no number
        return cpus


def control_threads() -> None:
    """Let `torch_threads` set the thread count in this process: for commands and workers.

    The count is one for the whole process, and threads that start later inherit it. In another program, whose threads
    may convert at the same time, it is not this package's to set, and `torch_threads` does nothing.
    """
    global _owned
    _owned = True


def one_thread() -> AbstractContextManager[None]:
    """A block with one thread for torch; does nothing, and imports nothing, where torch has not been imported."""
    return torch_threads(1) if "torch" in sys.modules else nullcontext()


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait for each other, unless the user has set the policy.

    Spinning threads make small convolutions up to 50 times slower on a busy machine. OpenMP reads the variable when
    torch is first imported, so it cannot be set later.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch `count` threads inside the block, where the process is ours (`control_threads`); restored at its end.

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


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """A block in which products of float32 tensors keep all 23 bits of their mantissas.

    Under autocast they have 7, and 10 on a GPU that uses its tensor cores for float32 (TF32); a CPU has no such mode.

    Args:
        device_type: of the tensors, "cuda" or "cpu".
    """
    import torch

    with torch.autocast(device_type, enabled=False):
        if device_type != "cuda":
            yield
            return
        backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
        before = [backend.fp32_precision for backend in backends]
        try:
            for backend in backends:
                backend.fp32_precision = "ieee"
            yield
        finally:
            for backend, precision in zip(backends, before, strict=True):
                backend.fp32_precision = precision


def require_matching_torchaudio() -> None:
    """Refuse a torchaudio of another release than torch, by what pip wrote down: nothing is imported.

    Its compiled part is built against one release; with another its import ends in an undefined symbol, or calls crash.

    Raises:
        ConfigError: for such a pair. Without one of the two there is none.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch, torchaudio = (version(name).split("+")[0] for name in ("torch", "torchaudio"))
    except PackageNotFoundError:
        return
    release = ".".join(torch.split(".")[:2])
    if torchaudio.split(".")[:2] != release.split("."):
        raise ConfigError(
            f"torchaudio {torchaudio} does not match torch {torch}; pip install 'torchaudio=={release}.*'"
        )


def resolve_device(device: str | torch.device) -> torch.device:
    """Device by name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: for a device that is unknown, or that this machine does not have.
    """
    import torch

    require_matching_torchaudio()
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
    """Threads for a call of so many GFLOP, at most as many as torch has."""
    import torch

    if gflop < GFLOP_WORTH_A_THREAD:
        return 1
    return min(torch.get_num_threads(), available_cpus())


@contextmanager
def inference(device: torch.device, gflop: float) -> Iterator[None]:
    """Inference mode; in a command also with a thread count that fits the work while the block runs.

    In other programs the thread count is theirs; where the cores are shared with other work, `torch.set_num_threads(1)`
    makes short clips faster there too.
    """
    import torch

    count = thread_count(gflop) if device.type == "cpu" else torch.get_num_threads()
    with torch_threads(count), torch.inference_mode():
        yield
