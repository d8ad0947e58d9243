"""Averaged (EMA) weights beside the trained ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from voiceae.training.optimizers import averaging_decay


class Averages:
    """Exponential moving average of a module's weights, kept in float32 on the weights' device.

    Buffers (statistics, codebooks, which are averages already) are used as they are.

    Args:
        module: whose weights are followed.
        decay: what is kept of the average at every step, once warmed up.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.weights = list(module.parameters())
        self.decay = decay
        self.values = [weight.detach().clone().float() for weight in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the weights, after a step counted from 0."""
        weights = [weight.detach() for weight in self.weights]
        torch._foreach_lerp_(self.values, weights, 1 - averaging_decay(step, self.decay))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module use the averages inside the block; its own weights come back bit for bit."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and averages by value: optimisers hold on to the weights' memory."""
        for weight, value in zip(self.weights, self.values, strict=True):
            kept = weight.detach().clone()
            weight.copy_(value)
            value.copy_(kept)

    @torch.no_grad()
    def load(self, values: list[torch.Tensor]) -> None:
        """Take over averages that a checkpoint kept."""
        for own, value in zip(self.values, values, strict=True):
            own.copy_(value)
