"""Two real CPU processes: each hears different data, and both end with the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.conftest import Composer, run_script
from voiceae.data.crops import CropSampler
from voiceae.data.store import FeatureStore
from voiceae.models.bottlenecks import VQ
from voiceae.training.optimizers import noise_seed
from voiceae.training.reporting import read_metrics
from voiceae.training.run import build_objective, prepare_process
from voiceae.training.settings import Settings

RECORDED = """
import os
import sys
from pathlib import Path
import torch
from voiceae.commands.train import main
from voiceae.data.crops import CropSampler
from voiceae.hardware import Bf16Support
from voiceae.training import precision
from voiceae.training.loop import Training

# The first process is on a processor without bf16, the second on one with it.
native = os.environ.get("LOCAL_RANK", "0") != "0"
precision.bf16_support = lambda device: Bf16Support(native, "as the test says")
half = []
heard, batch = [], CropSampler.batch

def recorded(self, step, rank=0, world_size=1):
    crops = batch(self, step, rank, world_size)
    half.append(torch.is_autocast_enabled("cpu"))
    heard.append((step, rank, world_size, crops.mel.sum().item()))
    return crops

run = Training.run

def recorded_run(self):
    run(self)
    state = {"heard": heard, "weights": self.objective.state_dict(), "averages": self.averages.values, "half": half}
    torch.save(state, Path(__file__).with_name(f"rank{self.fabric.global_rank}.pt"))

CropSampler.batch, Training.run = recorded, recorded_run
main(sys.argv[1:])
"""
DDP = [
    *("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.process_group_backend=gloo"),
    *("trainer.precision=auto", "trainer.threads=1", "trainer.log_every=1"),
    *(
        "trainer.max_steps=3",
        "trainer.validate_every=2",
        "trainer.validate_batches=1",
        "optim.warmup_steps=0",
    ),
]


def gradient(settings: Settings, rank: int) -> list[torch.Tensor]:
    """What one of two processes should find at the first step, computed by hand in this one."""
    prepare_process(settings)
    store = FeatureStore.open(settings.data.store)
    objective, _ = build_objective(settings, store)
    data = settings.data
    crops = CropSampler(
        store, "train", batch_size=data.batch_size, crop_frames=data.crop_frames,
        reference_frames=data.reference_frames, seed=settings.seed, resident=data.resident,
    ).batch(0, rank, 2)  # fmt: skip
    seed = noise_seed(settings.seed, 0, rank)
    torch.manual_seed(seed)
    objective(crops, step=0, generator=torch.Generator().manual_seed(seed)).total.backward()
    return [weight.grad for weight in objective.parameters() if weight.grad is not None]


@pytest.mark.parametrize("resident", ["true", "false"])
def test_two_processes_share_one_training(
    composed: Composer, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resident: str
) -> None:
    done = run_script(tmp_path / "ddp.py", RECORDED, [*overrides, *DDP, f"data.resident={resident}"])
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))

    assert not any((*first["half"], *second["half"])), "both calculate as the first process chose"

    # Two steps, a batch of either validation split, the third step, and validation again.
    assert [entry[:3] for entry in first["heard"]] == [(step, 0, 2) for step in (0, 1, 0, 0, 2, 0, 0)]
    assert [entry[:3] for entry in second["heard"]] == [(step, 1, 2) for step in (0, 1, 0, 0, 2, 0, 0)]
    sums = [entry[3] for entry in (*first["heard"], *second["heard"])]
    # Validation hears the same crops every time.
    assert len({round(value, 3) for value in sums}) == 2 * (3 + 2)

    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    assert all(map(torch.equal, first["averages"], second["averages"]))

    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 3]
    assert lines[0]["frames"] == 2 * 4 * 32
    drawn: dict[str, torch.Tensor] = {}  # the second process takes the first one's draw for its codebook
    monkeypatch.setattr(VQ, "_broadcast", staticmethod(lambda fresh: drawn.setdefault("codebook", fresh)))
    by_hand = [
        gradient(composed("optim.clip_norm=null", f"data.resident={resident}"), rank) for rank in (0, 1)
    ]
    means = [(first + second) / 2 for first, second in zip(*by_hand, strict=True)]
    norm = torch.stack([mean.norm() for mean in means]).norm().item()
    assert lines[0]["gradient_norm"] == pytest.approx(norm, rel=1e-4)
