"""The measuring itself: against sleeps, known sizes and known spectra."""

from __future__ import annotations

import time

import numpy as np
import pytest

from voiceae.benchmark.measuring import (
    Timing,
    gflops,
    interleaved,
    peak_memory_mb,
    synthetic_speech,
)


def test_medians_are_of_the_tasks_own_time_in_rounds_of_any_order() -> None:
    order: list[str] = []

    def task(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    found = interleaved({"a": lambda: task("a", 0.01), "b": lambda: task("b", 0.03)}, runs=7)
    rounds = [tuple(order[at : at + 2]) for at in range(0, len(order), 2)]
    assert len(rounds) == 8 and set(rounds) == {("a", "b"), ("b", "a")}
    assert 0.01 <= found["a"].low <= found["a"].median <= found["a"].high
    assert found["b"].median >= 0.03


def test_rate_of_a_product() -> None:
    found = gflops(Timing(0.02, 0.01, 0.04), size=1000)
    assert (found.low, found.median, found.high) == pytest.approx((50, 100, 200))


def test_peak_memory_is_of_the_work_alone() -> None:
    before, peak = peak_memory_mb(
        "kept = bytearray(30 << 20)\ndef work(): return bytearray(b'x' * (50 << 20))"
    )
    assert 50 <= peak - before <= 120
    with pytest.raises(RuntimeError, match="ValueError: no"):
        peak_memory_mb("def work(): raise ValueError('no')")


def test_the_buzz_is_as_long_and_as_loud_as_speech() -> None:
    wav = synthetic_speech(2.0, 16000)
    assert wav.shape == (32000,)
    assert wav.dtype == np.float32
    assert 0.02 < wav.std() < 0.2
    assert np.abs(wav).max() < 1
