from __future__ import annotations

import pytest

from voiceae.benchmark import conversion_stages as whole
from voiceae.benchmark.measuring import Bench
from voiceae.conversion.streaming.stream import Stream


@pytest.fixture(autouse=True)
def no_other_vocoder(bench: Bench) -> None:
    bench.default_voice = None


def test_five_seconds(bench: Bench) -> None:
    (figure,) = whole.convert(bench)
    assert figure.unit == "s/s" and figure.value is not None and 0 < figure.value < 10
    assert figure.bar == "at most 0.031625"


def test_a_stream_is_timed_to_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "_STREAM_SECONDS", 1.0)
    flushed: list[int] = []
    flush = Stream.flush
    monkeypatch.setattr(Stream, "flush", lambda self: flushed.append(self._pushed) or flush(self))
    (figure,) = whole.stream(bench)
    assert figure.value is not None and 0 < figure.value < 20
    assert figure.bar == "at most 0.25" and "ms late" in figure.note
    assert set(flushed) == {round(bench.voice.spec.sample_rate * 1.0)}


def test_cost_and_memory_by_length(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(whole, "peak_memory_mb", lambda code: (asked.append(code), (100.0, 130.0))[1])
    figures = whole.lengths(bench)
    assert [(figure.unit, figure.seconds) for figure in figures] == [
        *(("s/s", 1.0), ("MB", 1.0)),
        *(("s/s", 2.0), ("MB", 2.0)),
    ]
    assert figures[1].value == 30 and figures[1].reached is None
    assert "clip-2-0.wav" in asked[1] and "griffinlim" in asked[1]


def test_a_spinning_process_takes_some_of_the_machine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "_BUSY_SECONDS", (1.0,))
    (figure,) = whole.busy(bench)
    assert figure.value is not None and figure.value > 0.1
    assert figure.bar == "at most 1.5" and "a matrix product on one thread" in figure.note
