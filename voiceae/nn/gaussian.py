"""Diagonal Gaussians against N(0, I)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, element by element: any shape -> the same shape.

    Kingma and Welling 2014 (arXiv 1312.6114), appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)


def monte_carlo_kl(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """One-sample estimate `log q(z | x) - log p(z)` in nats, element by element; its expectation is `gaussian_kl`."""
    log_q = -0.5 * (math.log(2 * math.pi) + log_variance + (z - mean).square() * torch.exp(-log_variance))
    log_p = -0.5 * (math.log(2 * math.pi) + z.square())
    return log_q - log_p
