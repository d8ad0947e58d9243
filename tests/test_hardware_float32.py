from __future__ import annotations

import pytest
import torch

from voiceae.hardware import full_precision


def flags() -> tuple[str, str]:
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


@pytest.fixture(autouse=True)
def as_training_has_it() -> object:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


def test_a_gpu_keeps_all_bits_inside_and_its_own_way_outside() -> None:
    outside = flags()
    assert outside[0] == "tf32"
    with pytest.raises(KeyError), full_precision("cuda"):
        assert flags() == ("ieee", "ieee")
        raise KeyError
    assert flags() == outside


def test_a_cpu_leaves_the_flags_alone() -> None:
    outside = flags()
    with full_precision("cpu"):
        assert flags() == outside


def test_autocast_is_off_inside() -> None:
    x = torch.randn(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision("cpu"):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
