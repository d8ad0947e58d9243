"""How much a step computes: counted once, set against what the chip could do; and compiled parts, where asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from voiceae.training.loop import Training

PEAK_BF16_TFLOPS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "GH200": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "A10G": 70.0,
    "A10": 125.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
}
"""Dense bfloat16 products by what the chip's name holds, as their makers state them; the first that fits counts."""


class Throughput:
    """Counts the first step's operations on a GPU, then lets the parts of the model be compiled.

    The counter sees no operation inside compiled code, hence the order.

    Args:
        compiler: of the parts, a backend of torch.compile; None leaves them as they are.
        mode: of the backend inductor.
    """

    def __init__(self, compiler: str | None = None, mode: str | None = None) -> None:
        self.compiler, self.mode = compiler, mode
        self.flop_per_frame: float | None = None
        self.peak_tflops: float | None = None
        self._counter: FlopCounterMode | None = None

    def start(self, training: Training) -> None:
        """Know the chip; without a counted one, compile at once."""
        device = training.fabric.device
        self.peak_tflops = peak_of(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
        if self.peak_tflops is None:
            compile_parts(training.objective.model, self.compiler, self.mode)

    def before_step(self, training: Training) -> None:
        """Count the operations of the first step."""
        self.mark_step()
        if self.peak_tflops is not None and self.flop_per_frame is None:
            self._frames = training.frames
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def after_step(self, training: Training) -> None:
        """Stop counting after the first step, and compile the parts."""
        if self._counter is None:
            return
        self._counter.__exit__(None, None, None)
        own_frames = (training.frames - self._frames) / training.fabric.world_size
        self.flop_per_frame = self._counter.get_total_flops() / own_frames
        self._counter = None
        compile_parts(training.objective.model, self.compiler, self.mode)

    def mark_step(self) -> None:
        """What CUDA graphs kept of the step before may be overwritten from now on."""
        if self.compiler is not None:
            torch.compiler.cudagraph_mark_step_begin()

    def rates(self, frames_per_second: float, processes: int) -> dict[str, float]:
        """Operations a second of one chip, 10^12, and their share of what it could do; none where it is not known.

        Args:
            frames_per_second: of the whole training.
            processes: that share it, one a chip.
        """
        if self.flop_per_frame is None or self.peak_tflops is None:
            return {}
        tflops = 1e-12 * self.flop_per_frame * frames_per_second / processes
        return {"tflops": tflops, "bf16_peak_share": tflops / self.peak_tflops}


def compile_parts(model: nn.Module, compiler: str | None, mode: str | None = None) -> None:
    """Compile the forward of every part with weights in place; names of weights stay what they are.

    A part without weights (the pitch stream) keeps float32 products exact by a setting that no graph can change.

    Args:
        model: whose parts are compiled.
        compiler: backend of torch.compile; None leaves them as they are.
        mode: of the backend inductor.
    """
    for part in model.children():
        if compiler is not None and any(True for _ in part.parameters()):
            part.compile(backend=compiler, **({"mode": mode} if mode else {}))


def peak_of(chip: str) -> float | None:
    """Dense bfloat16 rate of a GPU by its name, 10^12 operations a second; None for an unknown one."""
    return next((peak for name, peak in PEAK_BF16_TFLOPS.items() if name in chip), None)
