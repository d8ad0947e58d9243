from __future__ import annotations

import json
from pathlib import Path

import pytest

from voiceae.training.reporting import collapses, cut_back, read_metrics, round_to_digits


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps({"step": step, "total": 1.0}) + "\n" for step in range(1, 6)) + '{"step": 6, "to'
    )
    cut_back(path, 3)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]
    cut_back(path, 0)
    assert read_metrics(path) == []
    cut_back(tmp_path / "absent.jsonl", 3)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"valid_utterances/kl_raw": 0.01}, ["0.01 nats per code frame", "carries nothing"]),
        ({"valid_utterances/perplexity": 1.2}, ["perplexity is 1.2", "codebook has died"]),
    ],
)
def test_a_collapse_is_told_in_one_line(figures: dict[str, float], words: list[str]) -> None:
    (line,) = collapses(figures)
    assert all(word in line for word in words)
    assert "\n" not in line


def test_a_healthy_bottleneck_is_not_warned_of() -> None:
    assert (
        collapses({"valid_utterances/kl_raw": 8.0, "valid_speakers/perplexity": 200.0, "valid/total": 0.0})
        == []
    )


def test_a_float32_survives_rounding() -> None:
    import numpy as np

    for value in np.random.default_rng(0).normal(size=200).astype(np.float32):
        assert np.float32(round_to_digits(float(value))) == value
    assert round_to_digits(7) == 7
