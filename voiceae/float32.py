"""Where float32 must be float32: no half precision by autocast, no ten-bit mantissas by TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Inside, products of float32 tensors keep all 23 bits of their mantissas.

    Under autocast they would have 7. On a GPU that training has told to use tensor cores for float32 too they would
    have 10 (TF32), fp16's; a CPU knows no such thing and is left as it is.

    Args:
        device_type: of the tensors, "cuda" or "cpu".
    """
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
