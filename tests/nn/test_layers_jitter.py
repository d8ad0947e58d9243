"""Time jitter: how often, from where, and never from padding."""

import pytest
import torch

from voiceae.nn.layers import time_jitter


def numbered(items: int, frames: int) -> torch.Tensor:
    """Every frame holds its own number: (items, frames, 1)."""
    return torch.arange(frames, dtype=torch.float32)[None, :, None].expand(items, -1, -1)


def test_frames_are_replaced_by_either_neighbour_as_often_as_asked() -> None:
    x = numbered(200, 102)
    moves = (time_jitter(x, 0.3, None, torch.Generator().manual_seed(0)) - x)[:, 1:-1].flatten()
    assert set(moves.tolist()) == {-1.0, 0.0, 1.0}
    for move in (-1.0, 1.0):  # 20,000 draws: three standard errors are .0076
        assert (moves == move).float().mean().item() == pytest.approx(0.15, abs=0.01)


def test_ends_and_padding_are_never_heard_from() -> None:
    x, mask = numbered(50, 12), torch.arange(12) < torch.tensor([[5]] * 49 + [[1]])
    jittered = time_jitter(x, 1.0, mask, torch.Generator().manual_seed(1))
    assert jittered[:49, :5].max() == 4
    assert torch.equal(jittered[49, :1], x[49, :1])
    everywhere = time_jitter(x, 1.0, None, torch.Generator().manual_seed(1))
    assert (everywhere >= 0).all() and (everywhere <= 11).all()
    inner = (everywhere - x)[:, 1:-1]
    assert (inner != 0).all()


def test_none_is_asked_for() -> None:
    x = numbered(3, 9)
    assert torch.equal(time_jitter(x, 0.0), x)


def test_the_gradient_goes_to_the_frame_that_was_heard() -> None:
    x = numbered(1, 6).clone().requires_grad_()
    heard = time_jitter(x, 0.9, None, torch.Generator().manual_seed(2))
    heard.sum().backward()
    wanted = torch.bincount(heard.detach().long().flatten(), minlength=6).float()
    assert x.grad is not None and torch.equal(x.grad.flatten(), wanted)
