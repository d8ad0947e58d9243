"""Numbers as functions of the project's own step, so that they need no state and resume exactly."""

from __future__ import annotations

import hashlib
import math

from voiceae.training.settings import OptimSettings


def learning_rate_factor(step: int, max_steps: int, optim: OptimSettings) -> float:
    """What the learning rates are multiplied with at a step counted from 0.

    Linear warm-up, then constant, or linear or cosine to `final_fraction` at `max_steps`.
    """
    warmup = min(1.0, (step + 1) / max(1, optim.warmup_steps))
    if optim.schedule == "constant":
        return warmup
    start = min(optim.warmup_steps, max_steps - 1)
    progress = min(1.0, max(0.0, (step - start) / max(1, max_steps - start)))
    fall = progress if optim.schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return warmup * (1 - (1 - optim.final_fraction) * fall)


def averaging_decay(step: int, decay: float) -> float:
    """Decay of the averaged weights after a step counted from 0: it grows from 2/11 to `decay`.

    Early averages would otherwise remember the random initial weights for `1 / (1 - decay)` steps.
    """
    return min(decay, (2 + step) / (11 + step))


def noise_seed(seed: int, step: int, rank: int, purpose: str = "train") -> int:
    """63 bits that differ for every step, process and purpose, and are the same on every machine."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
