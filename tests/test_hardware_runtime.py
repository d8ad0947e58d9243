from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
import torch

from voiceae import hardware as runtime
from voiceae import hardware as threads
from voiceae.errors import ConfigError


def test_devices() -> None:
    assert runtime.resolve_device("cpu") == torch.device("cpu")
    assert runtime.resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for wrong in ("abacus", "cuda:99", "meta"):
        with pytest.raises(ConfigError, match=wrong):
            runtime.resolve_device(wrong)


def test_small_work_takes_one_thread_and_gives_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cpus", lambda: 2)
    monkeypatch.setattr(threads, "_owned", True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with runtime.inference(torch.device("cpu"), 0.1):
            assert torch.get_num_threads() == 1 and torch.is_inference_mode_enabled()
        assert torch.get_num_threads() == 3
        with pytest.raises(RuntimeError), runtime.inference(torch.device("cpu"), 100.0):
            assert torch.get_num_threads() == 2
            raise RuntimeError
        assert torch.get_num_threads() == 3 and not torch.is_inference_mode_enabled()
    finally:
        torch.set_num_threads(before)


def test_never_more_threads_than_the_caller_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cpus", lambda: 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert runtime.thread_count(1e6) == 2


@pytest.mark.parametrize(
    ("torch_version", "torchaudio_version", "remedy"),
    [
        ("2.9.0", "2.9.1", None),
        ("2.11.0+cpu", "2.11.0+cu130", None),
        (
            "2.9.1+cu128",
            "2.11.0",
            r"torchaudio 2.11.0 does not match torch 2.9.1; pip install 'torchaudio==2.9.*'",
        ),
        (
            "2.11.0",
            "2.1.0",
            r"torchaudio 2.1.0 does not match torch 2.11.0; pip install 'torchaudio==2.11.*'",
        ),
        ("2.11.0", "", None),
    ],
)
def test_a_mismatched_pair_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, torch_version: str, torchaudio_version: str, remedy: str | None
) -> None:
    known = {"torch": torch_version, "torchaudio": torchaudio_version}

    def version(name: str) -> str:
        if not known[name]:
            raise PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    if remedy is None:
        runtime.require_matching_torchaudio()
        return
    with pytest.raises(ConfigError) as refused:
        runtime.resolve_device("cpu")
    assert str(refused.value) == remedy
