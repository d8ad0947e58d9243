"""The bound against a case where mutual information is known in closed form."""

import math

import pytest
import torch

from voiceae.nn.losses import CLUBEstimator


def exact(correlation: float) -> CLUBEstimator:
    """The true conditional of a correlated pair of standard Gaussians, N(r x, 1 - r^2)."""
    club = CLUBEstimator(x_dim=1, y_dim=1, hidden=2)

    class Conditional(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            log_variance = math.log(1 - correlation**2)
            raw = 5 * math.atanh(log_variance / 5)
            return torch.cat((correlation * x, torch.full_like(x, raw)), dim=-1)

    club.variational = Conditional()
    return club


def pair(correlation: float, items: int = 400, frames: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn((2, items, frames, 1), generator=generator)
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_the_bound_is_what_calculus_says_and_above_the_information(correlation: float) -> None:
    x, y = pair(correlation)
    bound = exact(correlation)(x, y, torch.ones(400, 100)).item()
    wanted = correlation**2 / (1 - correlation**2)
    assert bound == pytest.approx(wanted, abs=0.03)
    assert bound > -0.5 * math.log(1 - correlation**2) - 0.03


def test_all_pairings_by_moments_are_all_pairings_one_by_one() -> None:
    torch.manual_seed(0)
    club, x, y = CLUBEstimator(x_dim=3, y_dim=2, hidden=8), torch.randn(2, 5, 3), torch.randn(2, 5, 2)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()
    mean, log_variance = club._gaussian(x[mask])
    likelihood = -0.5 * ((y[mask][None] - mean[:, None]).square() * (-log_variance[:, None]).exp()).sum(-1)
    wanted = (likelihood.diagonal() - likelihood.mean(1)).mean()
    torch.testing.assert_close(club(x, y, mask), wanted)


def test_one_vector_an_item_stands_for_all_of_its_frames() -> None:
    torch.manual_seed(0)
    club, x, y = CLUBEstimator(x_dim=3, y_dim=2, hidden=8), torch.randn(4, 1, 3), torch.randn(4, 6, 2)
    mask = torch.ones(4, 6)
    torch.testing.assert_close(club(x, y, mask), club(x.expand(-1, 6, -1), y, mask))
    torch.testing.assert_close(
        club.learning_loss(x, y, mask), club.learning_loss(x.expand(-1, 6, -1), y, mask)
    )


def test_a_trained_guess_finds_the_information_and_minimising_the_bound_removes_it() -> None:
    torch.manual_seed(0)
    x, y = pair(0.8, 64, 8)
    mask, club = torch.ones(64, 8), CLUBEstimator(x_dim=1, y_dim=1, hidden=16)
    optimizer = torch.optim.Adam(club.parameters(), lr=2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        club.learning_loss(x, y, mask).backward()
        optimizer.step()
    assert club(x, y, mask).item() == pytest.approx(0.64 / 0.36, abs=0.35)
    share = torch.tensor(1.0, requires_grad=True)  # of x in y: y = share 0.8 x + 0.6 noise
    (slope,) = torch.autograd.grad(club(x, y - (1 - share) * 0.8 * x, mask), share)
    assert slope > 0.5
