from __future__ import annotations

import sys
from pathlib import Path

import pytest

from voiceae.benchmark import corpus_stages as corpus
from voiceae.benchmark.measuring import Bench, Timing
from voiceae.conversion.batch import Failure
from voiceae.errors import ConfigError
from voiceae.hardware import Bf16Support


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "available_cpus", lambda: 1)


def test_preparation(bench: Bench) -> None:
    (figure,) = corpus.prepare(bench)
    assert figure.value is not None and figure.value > 0
    assert figure.note.endswith("in 16 files") and float(figure.note.split()[0]) > 30


def test_batches(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "GROWTH", "for mb in (100, 140, 150, 150, 152): print(mb)")
    rate, growth = corpus.batch(bench)
    assert rate.value is not None and rate.value > 0 and rate.unit == "files/s"
    assert (growth.value, growth.reached) == (12, True), "the first quarter does not count"
    monkeypatch.setattr(corpus, "convert_pairs", lambda *_, **__: [Failure("x.wav", "is odd")])
    with pytest.raises(ConfigError, match=r"x\.wav: is odd"):
        corpus.batch(bench)


def test_scaling_counts_together() -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.readline(); print(7)"
    assert corpus._counts(code, 3) == [7, 7, 7]
    assert sys.executable


def test_training_speed_is_read_from_its_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def train(*arguments: object) -> None:
        asked.extend(map(str, arguments))
        (tmp_path / "metrics.jsonl").write_text(
            "".join(f'{{"frames_per_second": {v}}}\n' for v in (1, 50, 70, 60))
        )

    monkeypatch.setattr(corpus, "command", train)
    found = corpus._train(Path("s"), tmp_path, "bf16", 3)
    assert (found.median, found.low, found.high) == (60, 50, 70)
    assert {"trainer.max_steps=8", "trainer.precision=bf16", "data.store=s"} <= set(asked)


def test_training_in_bf16_is_left_out_where_it_would_take_minutes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    monkeypatch.setattr(corpus, "bf16_support", lambda _: Bf16Support(False, "it has none"))
    monkeypatch.setattr("voiceae.data.prepare.prepare", lambda *_, **__: None)
    monkeypatch.setattr(corpus, "_train", lambda *arguments: trained.append(arguments[2]) or Timing(1, 1, 1))
    single, half = corpus.train(bench)
    assert trained == ["fp32"] and single.value == 1
    assert (half.value, half.skipped, half.note) == (None, True, "skipped: it has none")
