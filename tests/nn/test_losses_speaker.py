"""The contrastive loss in cases with a closed form."""

import math

import pytest
import torch

from voiceae.nn.losses import contrastive_loss


def test_orthogonal_partners():
    vectors = torch.eye(4)
    wanted = -math.log(math.exp(5) / (math.exp(5) + 3))
    assert contrastive_loss(vectors, vectors, 5.0).item() == pytest.approx(wanted, rel=1e-5)


def test_vectors_that_are_all_alike_tell_nothing():
    vectors = torch.ones(8, 2) / 2**0.5
    assert contrastive_loss(vectors, vectors, 10.0).item() == pytest.approx(math.log(8), rel=1e-5)
