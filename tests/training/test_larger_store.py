"""A store larger than the memory that a training may take."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from tests.training.conftest import run_script
from voiceae.data.shards import shard_path
from voiceae.data.store import COLUMNS, STATISTICS, STORE, TABLE, Utterance
from voiceae.specs import AudioSpec

UTTERANCES, FRAMES, SHARDS = 16, 200_000, 4  # 490 MB in all
ALLOWED_MB = 250
"""Above the imported libraries. Mapped files do not count, since the system can take their pages back at any time."""

LIMITED = """
import resource, sys
from pathlib import Path
from voiceae.commands.train import main
from voiceae.data.crops import CropSampler
from voiceae.data.store import FeatureStore
import voiceae.training.run

def mb(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

store, limit = sys.argv[1], int((mb("VmData") + float(sys.argv[2])) * 2**20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    CropSampler(FeatureStore.open(store), "train", batch_size=1, crop_frames=8, reference_frames=8, seed=0)
    print("resident")
except MemoryError:
    print("too large")
main([f"data.store={store}", *sys.argv[3:]])
"""


def write_sparse_store(root: Path) -> None:
    """Silence, which takes no room on the disk; every utterance begins with something to hear."""
    spec, rng = AudioSpec(), np.random.default_rng(0)
    shard_path(root, 0).parent.mkdir(parents=True)
    per_shard, rows = UTTERANCES // SHARDS, []
    for shard in range(SHARDS):
        shape = (per_shard * FRAMES, spec.n_mels)
        mels = np.lib.format.open_memmap(shard_path(root, shard), "w+", np.float16, shape)
        for place in range(per_shard):
            mels[place * FRAMES :][:100] = rng.normal(size=(100, spec.n_mels))
            number = len(rows)
            rows.append(
                Utterance(
                    index=number, speaker=f"s{number // 4}", utterance=f"u{number}", split="train",
                    path=f"u{number}.wav", shard=shard, start=place * FRAMES, frames=FRAMES,
                    seconds=FRAMES / spec.frame_rate,
                )
            )  # fmt: skip
    np.savez(root / STATISTICS, mean=np.zeros(spec.n_mels, np.float32), std=np.ones(spec.n_mels, np.float32))
    with (root / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: getattr(row, name) for name in COLUMNS} for row in rows)
    info = {"format": 1, "spec": spec.to_dict(), "utterances": len(rows), "corpus": "x"}
    info["shard_frames"] = [per_shard * FRAMES] * SHARDS
    (root / STORE).write_text(json.dumps(info))


def test_a_store_larger_than_memory_is_trained_from(tmp_path: Path) -> None:
    write_sparse_store(tmp_path / "store")
    size_mb = sum(path.stat().st_size for path in tmp_path.rglob("*.npy")) / 2**20
    assert size_mb > 1.5 * ALLOWED_MB
    given = ["experiment=debug", "data.resident=false", f"out={tmp_path / 'run'}", "trainer.max_steps=4"]
    arguments = [str(tmp_path / "store"), str(ALLOWED_MB), *given, "trainer.picture_every=0"]
    done = run_script(tmp_path / "limited.py", LIMITED, arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "too large"
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4] and all(np.isfinite(line["total"]) for line in lines)
