"""The contrastive loss in cases with a closed form."""

import math

import pytest
import torch

from voiceae.losses import contrastive_loss


def test_orthogonal_partners():
    vectors = torch.eye(4)
    wanted = -math.log(math.exp(5) / (math.exp(5) + 3))
    assert contrastive_loss(vectors, vectors, 5.0).item() == pytest.approx(wanted, rel=1e-5)


def test_vectors_that_are_all_alike_tell_nothing():
    vectors = torch.ones(8, 2) / 2**0.5
    assert contrastive_loss(vectors, vectors, 10.0).item() == pytest.approx(math.log(8), rel=1e-5)


def test_the_same_voice_twice_is_left_out():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    wanted = (2 * math.log(1 + math.exp(-9)) + math.log(1 + 2 * math.exp(-9))) / 3
    assert contrastive_loss(vectors, vectors, 9.0, same).item() == pytest.approx(wanted, rel=1e-3)
