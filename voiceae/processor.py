"""What the processor says that it can calculate with: asked of torch and oneDNN, never timed."""

from __future__ import annotations

import os
from dataclasses import dataclass

_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # the second is oneDNN's older name, which it still reads


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
    if device == "cuda":
        import torch

        # Without `including_emulation`, torch says yes for every GPU since Pascal, the emulated ones included.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return Bf16Support(native, f"this GPU {'has' if native else 'has no'} bf16 units")
    if device == "cpu":
        return _cpu()
    return Bf16Support(False, f"torch does not say that {device} devices have bf16 units")


def _cpu() -> Bf16Support:
    import torch

    reported = torch.cpu.get_capabilities()
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
