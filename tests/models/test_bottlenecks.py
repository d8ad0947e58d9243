"""Bottlenecks against closed forms, independent clustering and what they promise."""

import math

import numpy as np
import pytest
import torch

from voiceae.models import VQ, GaussianBottleneck, LinearBottleneck
from voiceae.models.bottlenecks import codebook_figures
from voiceae.nn.layers import gaussian_kl

pytestmark = pytest.mark.numeric


def features(frames: int = 50, items: int = 4) -> torch.Tensor:
    return torch.randn((items, 6, frames), generator=torch.Generator().manual_seed(1))


def test_open_is_linear():
    bottleneck = LinearBottleneck(channels=6, dim=3)
    x, y = features(), features().flip(-1)
    sum_of = bottleneck(x).units + bottleneck(y).units - bottleneck(torch.zeros_like(x)).units
    torch.testing.assert_close(bottleneck(x + y).units, sum_of, atol=1e-5, rtol=1e-5)


def test_gaussian_is_its_mean_at_inference_and_noisy_in_training():
    torch.manual_seed(0)
    bottleneck = GaussianBottleneck(channels=6, dim=3).eval()
    x = features()
    mean, log_variance = bottleneck.posterior(x)
    torch.testing.assert_close(bottleneck(x).units.transpose(1, 2), mean)
    bottleneck.train()
    draws = torch.stack([bottleneck(x, None, torch.Generator().manual_seed(i)).units for i in range(400)])
    torch.testing.assert_close(draws.mean(0).transpose(1, 2), mean, atol=0.4, rtol=0)  # six standard errors
    assert draws.var(0).mean().item() == pytest.approx(log_variance.exp().mean().item(), rel=0.05)
    assert torch.equal(draws[3], bottleneck(x, None, torch.Generator().manual_seed(3)).units)


def test_gaussian_kl_is_summed_over_dimensions_and_averaged_over_valid_frames():
    bottleneck = GaussianBottleneck(channels=6, dim=3)
    x = features(10, 2)
    mask = torch.arange(10) < torch.tensor([[4], [10]])
    per_element = gaussian_kl(*bottleneck.posterior(x))
    wanted = (per_element[0, :4].sum() + per_element[1].sum()) / 14
    torch.testing.assert_close(bottleneck(x, mask).losses["kl"], wanted)


def test_free_nats_hold_the_loss_but_not_the_figure():
    x = features()
    free, strict = (
        GaussianBottleneck(channels=6, dim=3, free_nats=50.0),
        GaussianBottleneck(channels=6, dim=3),
    )
    free.load_state_dict(strict.state_dict())
    result = free(x)
    assert result.losses["kl"].item() == pytest.approx(150.0)
    torch.testing.assert_close(result.stats["kl_raw"], strict(x).losses["kl"].detach())
    result.losses["kl"].backward()
    assert not free.project.weight.grad.any()


def test_monte_carlo_bottleneck_agrees_with_the_analytic_one():
    x = features(400)
    analytic, sampled = (
        GaussianBottleneck(channels=6, dim=3),
        GaussianBottleneck(channels=6, dim=3, monte_carlo=True),
    )
    sampled.load_state_dict(analytic.state_dict())
    wanted = analytic(x).losses["kl"].item()
    assert sampled(x, None, torch.Generator().manual_seed(0)).losses["kl"].item() == pytest.approx(
        wanted, rel=0.1
    )


def test_vq_takes_the_nearest_code():
    bottleneck = VQ(channels=6, dim=3, size=16).eval()
    vectors = torch.randn(40, 3)
    assert torch.equal(bottleneck.nearest(vectors), torch.cdist(vectors, bottleneck.codebook).argmin(-1))
    result = bottleneck(features())
    torch.testing.assert_close(result.units, bottleneck.lookup(result.codes), atol=1e-6, rtol=1e-6)


def test_vq_passes_the_gradient_straight_through():
    bottleneck = VQ(channels=6, dim=3, size=16).train()
    x = features().requires_grad_()
    weights = torch.randn(4, 3, 50)
    (bottleneck(x, None, torch.Generator().manual_seed(0)).units * weights).sum().backward()
    through = torch.einsum("bdt,dc->bct", weights, bottleneck.project.weight)
    torch.testing.assert_close(x.grad, through, atol=1e-5, rtol=1e-5)


def test_vq_codebook_finds_the_clusters():
    """Four far clusters: after some batches every cluster has a code at its mean."""
    # Drawn by numpy: torch draws other numbers on a processor without AVX-512, and a start with two codes in one
    # cluster stays there.
    rng = np.random.default_rng(0)
    bottleneck = VQ(channels=2, dim=2, size=4, decay=0.9).train()
    torch.nn.init.eye_(bottleneck.project.weight)
    torch.nn.init.zeros_(bottleneck.project.bias)
    centres = torch.tensor([[9.0, 0.0], [-9.0, 0.0], [0.0, 9.0], [0.0, -9.0]])
    for _ in range(150):
        drawn = centres[rng.integers(0, 4, 64)] + 0.1 * torch.tensor(rng.standard_normal((64, 2))).float()
        noise = (rng.random(4), rng.standard_normal((4, 2)), rng.random((1, 64)))
        bottleneck(drawn.T[None], None, tuple(torch.tensor(each).float() for each in noise))
    nearest = torch.cdist(centres, bottleneck.codebook).min(-1).values
    assert nearest.max() < 0.2


def test_dead_codes_are_revived_only_when_asked():
    def used(revive_below: float) -> int:
        generator = torch.Generator().manual_seed(0)
        bottleneck = VQ(channels=6, dim=3, size=64, decay=0.8, revive_below=revive_below).train()
        bottleneck.codebook.add_(100.0)
        bottleneck.cluster_sum.add_(100.0)
        bottleneck.started.fill_(True)
        bottleneck.codebook[0] = 0.0
        for _ in range(40):
            result = bottleneck(torch.randn((8, 6, 40), generator=generator), None, generator)
        return int((result.stats["usage"] > 0).sum())

    assert used(0.0) == 1
    assert used(0.5) > 40


def test_padding_is_not_counted():
    bottleneck = VQ(channels=6, dim=3, size=16).eval()
    mask = torch.arange(50) < torch.tensor([[10], [0], [50], [1]])
    assert bottleneck(features(), mask).stats["usage"].sum() == 61


def test_codebook_figures():
    figures = codebook_figures(torch.tensor([4.0, 4.0, 4.0, 4.0, 0.0]))
    assert figures["perplexity"].item() == pytest.approx(4.0)
    assert figures["bits_per_frame"].item() == pytest.approx(2.0)
    skewed = codebook_figures(torch.tensor([3.0, 1.0]))
    assert skewed["bits_per_frame"].item() == pytest.approx(
        -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    )


@pytest.mark.parametrize(
    "make",
    [lambda: GaussianBottleneck(channels=2, dim=1, free_nats=-1), lambda: VQ(channels=2, dim=1, size=1)],
)
def test_nonsense_is_refused(make):
    with pytest.raises(ValueError):
        make()


def test_autocast_does_not_change_which_code_is_nearest():
    bottleneck = VQ(channels=6, dim=16, size=256)
    vectors = torch.randn(500, 16, generator=torch.Generator().manual_seed(3))
    wanted = torch.cdist(vectors.double(), bottleneck.codebook.double()).argmin(-1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bottleneck.nearest(vectors), wanted)


def test_a_codebook_stays_while_nothing_before_it_learns():
    bottleneck = VQ(channels=6, dim=3, size=16).train()
    bottleneck(features(), None, torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in bottleneck.state_dict().items()}
    bottleneck.requires_grad_(False)
    assert (
        bottleneck(features().flip(0) + 1, None, torch.Generator().manual_seed(1)).stats["usage"].sum() == 200
    )
    assert all(torch.equal(before[name], value) for name, value in bottleneck.state_dict().items())
    bottleneck.requires_grad_(True)
    bottleneck(features().flip(0) + 1, None, torch.Generator().manual_seed(1))
    assert not torch.equal(before["codebook"], bottleneck.codebook)


def test_a_revived_code_lives_on_in_the_next_step():
    """Codes far from all data are never used: after being revived they lie among the data, and stay there unused."""
    bottleneck = VQ(channels=6, dim=3, size=64, decay=0.8, revive_below=0.5).train()
    x, generator = features(), torch.Generator().manual_seed(0)
    bottleneck.started.fill_(True)
    bottleneck.codebook.add_(100.0)
    bottleneck.cluster_size.fill_(0.1)  # long unused
    bottleneck.cluster_sum.copy_(0.1 * bottleneck.codebook)
    bottleneck(x, None, generator)
    revived = bottleneck.codebook.clone()
    reach = bottleneck.project(x.transpose(1, 2)).detach().norm(dim=-1).max()
    assert revived.norm(dim=-1).max() < 1.1 * reach
    bottleneck.revive_below = 0.0
    used = bottleneck(x, None, generator).stats["usage"] > 0
    assert 0 < used.sum() < 64
    torch.testing.assert_close(bottleneck.codebook[~used], revived[~used])
    assert bottleneck.codebook.norm(dim=-1).max() < 1.1 * reach


def test_jitter_moves_units_in_training_alone_and_never_codes():
    torch.manual_seed(0)
    bottleneck = VQ(channels=6, dim=3, size=16, jitter=0.5, revive_below=0)
    x = features()
    still = bottleneck.eval()(x)
    torch.testing.assert_close(still.units, bottleneck.lookup(still.codes), atol=1e-6, rtol=1e-6)
    bottleneck.started.fill_(True)
    codebook = bottleneck.codebook.clone()
    moved = bottleneck.train()(x, None, torch.Generator().manual_seed(0))
    assert torch.equal(moved.codes, still.codes)
    quantised = codebook[still.codes]
    share = (moved.units.transpose(1, 2) - quantised).abs().amax(-1).gt(1e-5).float().mean().item()
    assert 0.2 < share < 0.5  # neighbours often have the same code
