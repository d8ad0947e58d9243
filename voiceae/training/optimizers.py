"""Optimisers and their schedules: fused AdamW, or Muon for the hidden matrices; averaged (EMA) weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

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
    # Half a cosine as of SGDR (arXiv 1608.03983) without its restarts.
    fall = progress if optim.schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return warmup * (1 - (1 - optim.final_fraction) * fall)


def averaging_decay(step: int, decay: float) -> float:
    """Decay of the averaged weights after a step counted from 0: it grows from 2/11 to `decay`.

    Early averages would otherwise remember the random initial weights for `1 / (1 - decay)` steps.
    """
    # TensorFlow's ExponentialMovingAverage has (1 + n) / (10 + n) after n updates; the step from 0 is update n + 1.
    return min(decay, (2 + step) / (11 + step))


def noise_seed(seed: int, step: int, rank: int, purpose: str = "train") -> int:
    """63 bits that differ for every step, process and purpose, and are the same on every machine."""
    # A hash rather than a sum: steps, ranks and purposes that are neighbours must not share a stream.
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def build_optimizers(
    weights: Iterable[nn.Parameter], module: nn.Module, optim: OptimSettings
) -> list[torch.optim.Optimizer]:
    """Optimisers of some of a module's weights; their learning rates are `optim.learning_rate`.

    Args:
        weights: those to train.
        module: whose layers tell which weights are hidden matrices.
        optim: kind and constants.
    """
    weights = [weight for weight in weights if weight.requires_grad]
    hidden = {id(weight) for weight in hidden_matrices(module)} if optim.kind == "muon" else set()
    matrices = [weight for weight in weights if id(weight) in hidden]
    rest = [weight for weight in weights if id(weight) not in hidden]
    optimizers: list[torch.optim.Optimizer] = [adamw(rest, optim, optim.learning_rate)]
    if matrices:
        optimizers.append(KernelMuon(matrices, optim))
    return optimizers


def adamw(weights: Iterable[nn.Parameter], optim: OptimSettings, learning_rate: float) -> torch.optim.AdamW:
    """Fused AdamW; biases and gains, which have one dimension, do not decay."""
    weights = list(weights)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": optim.weight_decay},
        # Decay would pull gains to 0, which shuts a channel off: excluded since BERT (arXiv 1810.04805).
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=optim.betas, eps=optim.epsilon, fused=True)


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights that act as dense matrices inside the repeated blocks of a network: what `nn.ModuleList`s hold.

    Layers outside the blocks, which read mels or write them, are better left to AdamW; so are grouped
    convolutions, which are no matrices.
    """
    blocks = [block for block in module.modules() if isinstance(block, nn.ModuleList)]
    layers = {
        layer for block in blocks for layer in block.modules() if isinstance(layer, nn.Linear | nn.Conv1d)
    }
    dense = {layer.weight for layer in layers if getattr(layer, "groups", 1) == 1}
    return [weight for weight in module.parameters() if weight in dense and weight.requires_grad]


class KernelMuon(torch.optim.Muon):
    """Muon (Jordan et al. 2024) on convolution kernels too, each as the matrix (outputs, inputs * width).

    torch's Muon takes matrices only, so it is given flat views that share the kernels' memory. The update is
    scaled to the size of an AdamW update (Liu et al. 2025), so that one learning rate suits both.

    Args:
        kernels: weights of at least two dimensions.
        optim: learning rate, weight decay and momentum.
    """

    def __init__(self, kernels: Iterable[nn.Parameter], optim: OptimSettings) -> None:
        self.kernels = list(kernels)
        self.views = [nn.Parameter(kernel.detach().flatten(1)) for kernel in self.kernels]
        super().__init__(
            self.views,
            lr=optim.learning_rate,
            weight_decay=optim.weight_decay,
            momentum=optim.momentum,
            adjust_lr_fn="match_rms_adamw",  # 0.2 * sqrt(max(A, B)), the RMS of AdamW's updates (arXiv 2502.16982)
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update the kernels through their flat views."""
        for view, kernel in zip(self.views, self.kernels, strict=True):
            assert view.data_ptr() == kernel.data_ptr(), "a kernel was moved after the optimiser was made"
            view.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of kernels and views."""
        super().zero_grad(set_to_none)
        for kernel in self.kernels:
            kernel.grad = None


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
