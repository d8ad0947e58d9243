from __future__ import annotations

import time
from pathlib import Path

import pytest

from voiceae.benchmark.measuring import Bench, Timing, at_least, at_most, command, over, plain, rate
from voiceae.errors import ConfigError
from voiceae.io import audio as audio_io

TIMING = Timing(2.0, 1.0, 4.0)


def test_bars_and_spreads() -> None:
    assert over(TIMING, Timing(4.0, 2.0, 5.0)) == Timing(0.5, 0.2, 2.0)
    assert rate(TIMING, 8.0) == Timing(4.0, 2.0, 8.0)
    machine = Timing(30.0, 20.0, 40.0)
    high, low = at_least("a", TIMING, 3.0, "x", "", machine), at_most("a", TIMING, 3.0, "x", "n", machine)
    assert (high.reached, low.reached, plain("a", TIMING, "x").reached) == (False, True, None)
    assert (high.value, high.low, high.high, high.machine_gflops) == (2.0, 1.0, 4.0, 30.0)
    assert (high.bar, low.bar, low.note) == ("at least 3", "at most 3", "n")


def test_the_machine_is_measured_in_turn(bench: Bench) -> None:
    timings, machine = bench.measure({"sleep": lambda: time.sleep(0.02)}, runs=2)
    assert list(timings) == ["sleep"] and timings["sleep"].low >= 0.02
    assert machine.median > 0


def test_what_is_written_goes_away(bench: Bench) -> None:
    assert audio_io.read(bench.written(1.5)).seconds == pytest.approx(1.5, abs=1e-3)
    assert bench.written(1.5) == bench.written(1.5) != bench.written(1.5, seed=1)
    corpus = bench.corpus_folder
    assert len(list(corpus.iterdir())) == 8 and corpus.is_relative_to(bench.scratch)
    bench.close()
    assert not corpus.exists()
    assert Bench(corpus=Path("mine")).corpus_folder == Path("mine")


def test_a_command_that_fails_is_an_error() -> None:
    command("--version")
    with pytest.raises(ConfigError, match=r"--nonsense: exit code 2 instead of 0: .*No such option"):
        command("--nonsense")
