from __future__ import annotations

import numpy as np
import torch

from voiceae.conversion.backends.numpy_excitation import normal, twister, uniform


def test_even_numbers_are_those_of_torch() -> None:
    wanted = torch.rand(33, 21, generator=torch.Generator().manual_seed(7))
    np.testing.assert_array_equal(uniform(twister(7), (33, 21)), wanted.numpy())


def test_the_generator_goes_on() -> None:
    generator, torch_generator = twister(1), torch.Generator().manual_seed(1)
    for _ in range(3):
        wanted = torch.rand(5, generator=torch_generator)
        np.testing.assert_array_equal(uniform(generator, (5,)), wanted.numpy())


def test_normal_numbers_are_those_of_torch() -> None:
    wanted = torch.randn(4096, generator=torch.Generator().manual_seed(3)).numpy()
    np.testing.assert_allclose(normal(twister(3), 4096), wanted, rtol=0, atol=1e-5)
