from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from voiceae.benchmark import part_stages as parts
from voiceae.benchmark.measuring import Bench
from voiceae.errors import ConfigError
from voiceae.hardware import Bf16Support


def test_the_machine_in_both_precisions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    single, half = parts.matrix(bench)
    assert single.name.startswith("float32") and half.name.startswith("bfloat16")
    assert single.value is not None and single.value > 0

    def product(dtype: torch.dtype = torch.float32) -> Callable[[], object]:
        assert dtype != torch.bfloat16, "seconds a product"
        return lambda: None

    monkeypatch.setattr(parts, "bf16_support", lambda _: Bf16Support(False, "it has none"))
    monkeypatch.setattr(parts, "matrix_product", product)
    _, left_out = parts.matrix(bench)
    assert (left_out.value, left_out.skipped, left_out.note) == (None, True, "skipped: it has none")


def test_features_and_network_stand_beside_others(bench: Bench) -> None:
    mel, reading = parts.features(bench)
    assert (mel.unit, mel.bar) == ("times torchaudio", "at least 1.5") and "times librosa" in mel.note
    assert reading.value is not None and reading.value > 0 and reading.machine_gflops
    (network,) = parts.model(bench)
    assert network.reached and network.unit == "times AdaIN-VC's size", "a toy is faster than that"


def test_what_is_missing_is_said(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="needs --hifigan"):
        parts.hifigan(bench)
    bench.default_voice = None
    with pytest.raises(ConfigError, match="without a vocoder"):
        parts.vocoder(bench)
