from __future__ import annotations

import pytest
import torch

from voiceae.benchmark import stages
from voiceae.benchmark.measuring import Bench, Figure, Timing, plain
from voiceae.benchmark.stages import measure
from voiceae.errors import ConfigError


def test_threads_and_stages_that_cannot_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(_: Bench) -> list[Figure]:
        return [plain("threads", Timing.of([torch.get_num_threads()]), "")]

    def broken(_: Bench) -> list[Figure]:
        raise ConfigError("no such thing")

    monkeypatch.setattr("voiceae.hardware._owned", True)  # as in a process of the command line
    monkeypatch.setattr(stages, "STAGES", {"matrix": threads, "train": threads, "start": broken})
    found = list(measure(bench, ["matrix", "train", "start"], [1, 2]))
    assert [(figure.name, figure.value, figure.threads) for figure in found] == [
        ("threads", 1, 1),
        ("threads", 1, 1),
        ("start", None, 1),
        ("threads", 2, 2),
    ]
    assert found[2].note == "not measured: no such thing"


def test_every_threaded_stage_is_one() -> None:
    assert set(stages.THREADED) < set(stages.STAGES)
