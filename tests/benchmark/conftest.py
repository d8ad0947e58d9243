from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from voiceae.benchmark import measuring
from voiceae.benchmark.measuring import Bench


@pytest.fixture
def bench(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Of a model without skill, at one run a timing and with a corpus of 16 clips."""
    monkeypatch.setattr(measuring, "_CLIPS", 2)
    made = Bench(model=str(tiny_model), runs=1, lengths=(1.0, 2.0), files=8)
    yield made
    made.close()
