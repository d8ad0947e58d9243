"""Thread counts come back, also after an error."""

from pathlib import Path

import pytest
import torch

from voiceae import threads
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


@pytest.mark.parametrize(
    ("text", "wanted"), [("150000 100000", 1), ("max 100000", None), ("50000 100000", 1)]
)
def test_a_container_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wanted: int | None
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setattr(threads, "_CPU_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(text)
    assert threads.available_cpus() == (wanted or 6)
