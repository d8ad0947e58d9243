"""Operations are counted as by hand, set against a known chip, and compiled parts learn the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.systems import small_batch, small_system
from tests.training.conftest import Composer
from voiceae.errors import ConfigError
from voiceae.training import throughput as work
from voiceae.training.run import fit
from voiceae.training.throughput import Throughput, compile_parts, peak_of


def test_chips_by_name() -> None:
    assert peak_of("NVIDIA H200") == peak_of("NVIDIA H100 80GB HBM3") == 989
    assert peak_of("NVIDIA A100-SXM4-40GB") == 312 and peak_of("NVIDIA H100 PCIe") == 756
    assert peak_of("NVIDIA A10G") == 70 and peak_of("NVIDIA A10") == 125
    assert peak_of("Abacus") is None


def test_rates() -> None:
    counted = Throughput()
    assert counted.rates(1e6, 4) == {}
    counted.flop_per_frame, counted.peak_tflops = 2e8, 500.0
    assert counted.rates(1e6, 4) == pytest.approx({"tflops": 50.0, "bf16_peak_share": 0.1})


class Part(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(float(channels)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.scale * x).relu() + 1


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Part(8), Part(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def test_compiled_parts_are_the_same_parts() -> None:
    model, x = Parts(), torch.randn(3, 8)
    names, before = list(model.state_dict()), model(x)
    seen: list[int] = []

    def compiler(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> object:
        seen.append(len(graph.graph.nodes))
        return graph.forward

    compile_parts(model, compiler)  # type: ignore[arg-type]  # any backend will do
    assert torch.allclose(model(x), before)
    assert seen, "the backend was never asked"
    assert list(model.state_dict()) == names


def test_a_training_that_is_counted_and_compiled(
    composed: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = []

    def start(self: Throughput, *_: object) -> None:
        self.peak_tflops = 1.0
        counters.append(self)

    monkeypatch.setattr(Throughput, "start", start)
    compiled: list[str] = []
    monkeypatch.setattr(work, "compile_parts", lambda _, compiler, mode: compiled.append(compiler))
    fit(
        composed(
            "trainer.compile=eager",
            "trainer.max_steps=2",
            "trainer.log_every=1",
            "trainer.validate_batches=0",
        )
    )
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    (counter,) = counters
    assert counter.flop_per_frame is not None and counter.flop_per_frame > 1000 and compiled == ["eager"]
    assert lines[1]["bf16_peak_share"] == pytest.approx(lines[1]["tflops"]) and lines[1]["tflops"] > 0


@pytest.mark.parametrize("name", ["vae", "vqvae"])
def test_parts_are_compiled_as_one_graph_each_and_learn_the_same(name: str) -> None:
    """A break in a graph would raise: nothing in a part may ask the device or take what no graph can hold."""

    def learnt(compiler: str | None) -> torch.Tensor:
        model, batch = small_system(name).train(), small_batch()
        for part in model.children() if compiler else ():
            if any(True for _ in part.parameters()):
                part.compile(backend=compiler, fullgraph=True)
        generator = torch.Generator().manual_seed(3)
        content = model.encode(batch.mel, batch.mask, generator=generator)
        given = model.decode(content, model.embed(batch.reference, batch.reference_mask), mask=batch.mask)
        given.square().mean().backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])

    torch.testing.assert_close(learnt("aot_eager"), learnt(None), rtol=1e-3, atol=1e-5)


def test_a_part_without_weights_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    compile_parts(model, "eager", None)
    assert model[0]._compiled_call_impl is None and model[1]._compiled_call_impl is not None


def test_a_mode_needs_inductor(composed: Composer) -> None:
    with pytest.raises(ConfigError, match="compile_mode=reduce-overhead: is of inductor alone"):
        composed("trainer.compile=eager", "trainer.compile_mode=reduce-overhead")
    assert (
        composed("trainer.compile=inductor", "trainer.compile_mode=default").trainer.compile_mode == "default"
    )


def test_a_deterministic_training_says_so_to_torch(composed: Composer) -> None:
    try:
        fit(composed("trainer.deterministic=true", "trainer.max_steps=1", "trainer.validate_batches=0"))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
