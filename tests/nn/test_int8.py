"""Quick layers against the ones they stand for."""

import pytest
import torch
from torch import Tensor, nn

from voiceae.nn import int8 as quick
from voiceae.nn.int8 import DynamicInt8Linear, UnrolledDepthwiseConv, optimise_for_few_frames
from voiceae.nn.layers import Block, MaskedConv
from voiceae.nn.norm import AdaptiveInstanceNorm, weight_sharing_copy

pytestmark = pytest.mark.numeric


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    block = Block(24, 48, norm=AdaptiveInstanceNorm(24, 8)).eval()
    return block.requires_grad_(False)


def relative_error(x: Tensor, wanted: Tensor) -> float:
    return float((x - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.mark.parametrize("bias", [True, False])
def test_eight_bits_are_near(bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 96, bias=bias).requires_grad_(False)
    linear.weight.mul_(torch.logspace(-3, 3, 96)[:, None])  # each row has its scale
    linear.weight[5] = 0.0
    x = torch.randn(1, 7, 64, generator=torch.Generator().manual_seed(0))
    rows = zip(DynamicInt8Linear(linear)(x)[0].T, linear(x)[0].T, strict=True)
    errors = [relative_error(ours, wanted) for ours, wanted in rows if wanted.any()]
    assert 1e-4 < max(errors) < 0.05


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_few_frames_are_the_convolution(kernel_size: int) -> None:
    conv = MaskedConv(6, 6, kernel_size, groups=6).requires_grad_(False)
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    x = torch.randn(2, 9, 6)
    for given in (None, mask):
        torch.testing.assert_close(UnrolledDepthwiseConv(conv.conv)(x, given), conv(x, given))


@pytest.mark.parametrize(("int8", "bound"), [(False, 1e-5), (True, 0.03)])
def test_a_quick_copy_says_the_same_and_leaves_the_original(block: Block, int8: bool, bound: float) -> None:
    before = {name: value.clone() for name, value in block.state_dict().items()}
    x, speaker = torch.randn(1, 10, 24), torch.randn(1, 8)
    wanted = block(x, None, speaker)
    copy = weight_sharing_copy(block)
    optimise_for_few_frames(copy, int8=int8)
    assert relative_error(copy(x, None, speaker) - x, wanted - x) < bound
    assert (
        isinstance(copy.mix, UnrolledDepthwiseConv) and isinstance(copy.contract, DynamicInt8Linear) == int8
    )
    assert type(block.mix) is MaskedConv and type(block.contract) is nn.Linear
    assert torch.equal(block(x, None, speaker), wanted)
    for name, value in block.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_machine_without_eight_bits_calculates_as_ever(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "_ENGINES", ())
    optimise_for_few_frames(block, int8=True)
    assert type(block.expand) is nn.Linear
