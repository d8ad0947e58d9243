"""Processors, threads, devices and precision: what this machine can compute with."""

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
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
GFLOP_WORTH_A_THREAD = 4.0
"""Work of one call (0.1 s on one core) below which a second thread costs more than it saves."""

_owned = False


@dataclass(frozen=True)
class Bf16Support:
    """Whether a device multiplies bfloat16 itself.

    Attributes:
        native: without it every product is emulated: measured 8 to 60 times slower than float32 on AVX2, and 2 to 6
            times on AVX-512 without its bf16 instructions.
        reason: what says so, for a message.
    """

    native: bool
    reason: str


def bf16_support(device: str) -> Bf16Support:
    """What torch and oneDNN report of bfloat16; no timing, which would flip on a busy machine.

    Args:
        device: kind of device, as in `torch.device.type`.
    """
    import torch

    if device == "cuda":
        # Without `including_emulation`, torch says yes for every GPU since Pascal, the emulated ones included.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return Bf16Support(native, f"this GPU {'has' if native else 'has no'} bf16 units")
    if device == "cpu":
        return _cpu()
    return Bf16Support(False, f"torch does not say that {device} devices have bf16 units")


def _cpu() -> Bf16Support:
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        reported = torch.cpu.get_capabilities()
    else:  # torch 2.9 has no table; every processor with AMX tiles multiplies bf16 in them
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
    """Processors that this process may really use: its affinity and, in a container, its quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(cpus, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file outside a container; "max" is no number
        return cpus


def control_threads() -> None:
    """Say that this process is ours alone, so that its thread count may follow the work: for commands and workers.

    The count belongs to the whole process, and torch hands it on to threads that start later. Within somebody else's
    program, where several threads may convert at once, it is theirs to set, and `torch_threads` leaves it alone.
    """
    global _owned
    _owned = True


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
    """Inside, products of float32 tensors keep all 23 bits of their mantissas.

    Under autocast they would have 7. On a GPU that training has told to use tensor cores for float32 too they would
    have 10 (TF32), fp16's; a CPU knows no such thing and is left as it is.

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
    """Threads for a call of so much work, never more than torch was already given."""
    import torch

    if gflop < GFLOP_WORTH_A_THREAD:
        return 1
    return min(torch.get_num_threads(), available_cpus())


@contextmanager
def inference(device: torch.device, gflop: float) -> Iterator[None]:
    """Inference mode, in a command with a thread count that fits the work while the block runs.

    Within another program torch computes with as many threads as that has given it; where the cores are shared with
    other work, `torch.set_num_threads(1)` makes short clips quicker there too.
    """
    import torch

    count = thread_count(gflop) if device.type == "cpu" else torch.get_num_threads()
    with torch_threads(count), torch.inference_mode():
        yield
