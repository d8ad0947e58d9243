"""Closed forms against torch.distributions and against sampling."""

import torch
from torch.distributions import Normal, kl_divergence

from voiceae.nn.layers import gaussian_kl, monte_carlo_kl


def test_analytic_kl_is_that_of_torch_distributions():
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    theirs = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, log_variance), theirs)


def test_monte_carlo_kl_agrees_on_average():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.tensor([0.5, -2.0, 0.0]), torch.tensor([-1.0, 0.5, 0.0])
    noise = torch.randn((200_000, 3), generator=generator)
    z = mean + noise * (0.5 * log_variance).exp()
    estimate = monte_carlo_kl(z, mean, log_variance)
    error = estimate.std(0) / len(z) ** 0.5
    assert ((estimate.mean(0) - gaussian_kl(mean, log_variance)).abs() < 5 * error + 1e-6).all()


def test_standard_normal_costs_nothing():
    assert gaussian_kl(torch.zeros(3), torch.zeros(3)).abs().max() == 0
