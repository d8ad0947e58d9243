"""Thread counts come back, also after an error."""

import pytest
import torch

from voiceae.threads import torch_threads


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_count_holds_in_the_block_and_not_after_it(count: int) -> None:
    before = torch.get_num_threads()
    with torch_threads(count):
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), torch_threads(count):
        raise KeyError
    assert torch.get_num_threads() == before
