from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.training.conftest import Composer
from voiceae.training.optimizers import KernelMuon, adamw, build_optimizers, hidden_matrices
from voiceae.training.settings import OptimSettings


@pytest.fixture
def optim(composed: Composer) -> OptimSettings:
    return composed("optim=muon").optim


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(4, 8)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(8, 8, 3), nn.Conv1d(8, 8, 3, groups=8), nn.LayerNorm(8)) for _ in range(2)
        )
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def test_biases_and_gains_do_not_decay(optim: OptimSettings) -> None:
    decaying, free = adamw(Network().parameters(), optim, 1e-3).param_groups
    assert all(weight.ndim > 1 for weight in decaying["params"])
    assert all(weight.ndim == 1 for weight in free["params"])
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    assert decaying["fused"]


def test_muon_takes_the_dense_kernels_of_the_blocks_and_adamw_the_rest(optim: OptimSettings) -> None:
    network = Network()
    assert {id(weight) for weight in hidden_matrices(network)} == {
        id(block[0].weight) for block in network.blocks
    }
    plain, muon = build_optimizers(network.parameters(), network, optim)
    assert isinstance(muon, KernelMuon)
    assert [id(kernel) for kernel in muon.kernels] == [id(block[0].weight) for block in network.blocks]
    theirs = [weight for group in plain.param_groups for weight in group["params"]]
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    assert {id(w) for w in theirs} | {id(w) for w in muon.kernels} == {id(w) for w in trained}
    assert len(theirs) + len(muon.kernels) == len(trained)
    assert len(build_optimizers(network.parameters(), network, replace(optim, kind="adamw"))) == 1


def test_kernels_move_as_matrices_do(optim: OptimSettings) -> None:
    kernel = nn.Parameter(torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)))
    matrix = nn.Parameter(kernel.detach().clone().view(6, 12))
    ours = KernelMuon([kernel], optim)
    theirs = torch.optim.Muon(
        [matrix], lr=optim.learning_rate, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(3):
        gradient = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(step))
        kernel.grad, matrix.grad = gradient, gradient.view(6, 12).clone()
        before = kernel.detach().clone()
        ours.step()
        theirs.step()
        assert not torch.equal(kernel, before)
        torch.testing.assert_close(kernel.view(6, 12), matrix, rtol=0, atol=0)
    ours.zero_grad()
    assert kernel.grad is None


def test_the_update_is_nearly_orthogonal(optim: OptimSettings) -> None:
    kernel = nn.Parameter(torch.zeros(8, 8, 1))
    muon = KernelMuon([kernel], replace(optim, learning_rate=1.0, weight_decay=0.0))
    kernel.grad = torch.randn(8, 8, 1, generator=torch.Generator().manual_seed(0))
    muon.step()
    singular = torch.linalg.svdvals(kernel.detach()[..., 0])
    assert singular.max() / singular.min() < 2
    gradient = torch.linalg.svdvals(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    assert gradient.max() / gradient.min() > 7


def test_state_comes_back_from_a_checkpoint(optim: OptimSettings) -> None:
    def fresh() -> tuple[nn.Parameter, KernelMuon]:
        kernel = nn.Parameter(torch.ones(4, 4, 3))
        return kernel, KernelMuon([kernel], optim)

    def step(kernel: nn.Parameter, muon: KernelMuon, seed: int) -> None:
        kernel.grad = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(seed))
        muon.step()

    kernel, muon = fresh()
    step(kernel, muon, 0)
    other, resumed = fresh()
    other.data.copy_(kernel.data)
    resumed.load_state_dict(deepcopy(muon.state_dict()))  # the tensors would be shared
    step(kernel, muon, 1)
    step(other, resumed, 1)
    assert torch.equal(kernel, other)
