"""Thread counts come back, also after an error."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import SPEC, write_model
from voiceae import Audio, load
from voiceae import hardware as threads
from voiceae.hardware import torch_threads


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a command."""
    monkeypatch.setattr(threads, "_owned", True)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_count_holds_in_the_block_and_not_after_it(count: int, owned: None) -> None:
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


def test_threads_sleep_while_they_wait_unless_told_otherwise() -> None:
    code = "import os, voiceae; before = os.environ.get(K); voiceae.AudioSpec; print(before, os.environ[K])"
    for given, printed in (({}, "None PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE ACTIVE")):
        plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        command = [sys.executable, "-c", code.replace("K", "'OMP_WAIT_POLICY'")]
        done = subprocess.run(command, env=plain | given, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == printed


def test_blocks_that_interleave_in_threads_leave_the_count_as_it_was(two_threads: None) -> None:
    """The second begins within the first, and ends after it."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    counts = []

    def first() -> None:
        with torch_threads(1):
            first_is_in.set()
            second_is_in.wait()
        first_is_out.set()

    def second() -> None:
        first_is_in.wait()
        with torch_threads(1):
            second_is_in.set()
            first_is_out.wait()
        counts.append(torch.get_num_threads())

    both = [threading.Thread(target=each) for each in (first, second)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    with ThreadPoolExecutor(1) as pool:
        counts.append(pool.submit(torch.get_num_threads).result())
    assert [*counts, torch.get_num_threads()] == [2, 2, 2]


def test_conversions_in_threads_at_once_are_those_one_after_another(
    tmp_path: Path, two_threads: None
) -> None:
    voice = load(write_model(tmp_path / "tiny.safetensors"), vocoder="griffinlim", device="cpu")
    rng = np.random.default_rng(0)
    sources = [
        Audio(0.1 * rng.standard_normal(9000 + 500 * n).astype(np.float32), SPEC.sample_rate)
        for n in range(8)
    ]
    heard = voice.profile(Audio(0.1 * rng.standard_normal(22050).astype(np.float32), SPEC.sample_rate))
    wanted = [voice.convert(source, heard).wav for source in sources]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda source: voice.convert(source, heard).wav, sources))
        counts = set(pool.map(lambda _: torch.get_num_threads(), range(8)))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert counts | {torch.get_num_threads()} == {2}


def test_a_command_may_set_its_threads_and_a_library_may_not() -> None:
    code = """
import sys, torch, voiceae
from voiceae import cli, hardware as threads
torch.set_num_threads(2)
with threads.torch_threads(1):
    print(torch.get_num_threads())
cli.run = lambda arguments: 0
try:
    cli.main([])
except SystemExit:
    pass
with threads.torch_threads(1):
    print(torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "1"]
