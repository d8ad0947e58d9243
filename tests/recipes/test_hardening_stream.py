"""The long stream, in small: two minutes of audio, and what would be called a drift."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

import voiceae
from tests.tiny import SPEC, write_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "hardening_stream", ROOT / "recipes" / "hardening" / "stream_soak.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Humming:
    """A vocoder that costs nothing: noise as loud as the mel."""

    delay_samples = SPEC.hop_length

    def __init__(self) -> None:
        self._noise = torch.randn(SPEC.hop_length, generator=torch.Generator().manual_seed(0))

    def push(self, mel: Tensor) -> Tensor:
        return (mel.mean(0).exp()[:, None] * self._noise).flatten()

    def reset(self) -> None:
        pass


def test_two_minutes_drift_in_nothing(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceae.conversion.streaming.stream.streaming_vocoder", lambda *_: Humming())
    voice = voiceae.load(write_model(tmp_path / "tiny.safetensors"), vocoder="griffinlim", device="cpu")
    stream = voice.stream(sorted(recipe.CLIPS.glob("slt_*.flac"))[0])
    readings = list(recipe.readings_of(stream, recipe.one_round(stream.sample_rate), 2 / 60, readings=4))
    assert readings[-1]["hours"] == pytest.approx(2 / 60, rel=0.1)
    assert recipe.drifts(readings, stream.latency_samples) == []
    assert all(0 < each["lag_samples"] <= stream.latency_samples for each in readings)
    assert all(-40 < each["level_dbfs"] < 0 for each in readings)


def test_every_drift_is_named(recipe: ModuleType) -> None:
    def readings(**last: float) -> list[dict[str, float]]:
        first = {"lag_samples": 2000, "rss_mb": 500.0, "level_dbfs": -20.0}
        return [first, first, first | last]

    assert recipe.drifts(readings(), 2048) == []
    assert "memory: grew by 40 MB" in recipe.drifts(readings(rss_mb=540.0), 2048)
    assert "latency: 2049 samples waited, 2048 are declared" in recipe.drifts(
        readings(lag_samples=2049), 2048
    )
    assert any("at last" in line for line in recipe.drifts(readings(lag_samples=1000), 2048))
    assert any("level" in line for line in recipe.drifts(readings(level_dbfs=-18.0), 2048))
    assert recipe.drifts(readings(level_dbfs=-20.5), 2048) == []
