"""What a corpus of many hours would need, worked out from what a small one takes here.

    python recipes/cluster/needs.py --store STORE --corpus SPEAKERS [--hours 60000] [--passes 10] [--tflops 20]

STORE was prepared from speech like that of the large corpus; SPEAKERS is a folder of some recordings of it. Times are
of the processor, so that other work on this machine does not count, and of one process. What a GPU would take is not
measured: it is the counted operations of a step over the rate that one is believed to reach (--tflops).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from voiceae.data.corpora import list_recordings
from voiceae.data.crops import CropSampler
from voiceae.data.prepare import prepare
from voiceae.data.store import TABLE, FeatureStore
from voiceae.training.run import build_objective
from voiceae.training.settings import Settings, compose

FILES, BATCH, CROP = 60, 128, 128


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=60_000)
    parser.add_argument("--passes", type=float, default=10, help="over all frames")
    parser.add_argument("--tflops", type=float, default=20, help="of one GPU, believed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    opening, store = timed(lambda: FeatureStore.open(given.store))
    own_hours = sum(u.seconds for u in store.utterances) / 3600
    rows = given.hours / own_hours * len(store.utterances)
    size = sum(len(shard) for shard in store.shards) * 2 * store.spec.n_mels / own_hours
    table = (given.store / TABLE).stat().st_size / len(store.utterances)
    speed = preparation(given.corpus)
    flop = operations(given.store)
    frames = given.hours * 3600 * store.spec.frame_rate * given.passes
    each = opening / len(store.utterances)
    lines = {
        "corpus": f"{given.hours:,.0f} hours in {rows:,.0f} utterances",
        "storage": f"{size / 1e6:.1f} MB an hour: {size * given.hours / 1e12:.2f} TB",
        "table": f"{table:.0f} bytes an utterance: {table * rows / 1e9:.2f} GB",
        "preparation": f"{speed:.0f} s of audio a s of a core: {given.hours / speed:,.0f} core hours",
        "opening": f"{1e6 * each:.1f} us an utterance: {each * rows / 60:.1f} minutes",
        "reading": f"{1e3 * reading(store):.2f} ms for {BATCH} mapped crops and references of {CROP} frames",
        "operations": f"{flop / 1e6:.0f} MFLOP a frame: {flop * frames:.2e} in {given.passes:g} passes",
        "GPU": f"{flop * frames / given.tflops / 3.6e15:,.0f} hours at {given.tflops:g} TFLOP/s (not measured)",
    }
    for what, value in lines.items():
        print(f"{what:14}{value}", flush=True)


def timed(work: Callable[[], FeatureStore]) -> tuple[float, FeatureStore]:
    """Processor seconds, and what came of them."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def preparation(corpus: Path) -> float:
    """Seconds of audio read a second of one core."""
    chosen = list_recordings("folder", corpus)
    chosen = chosen[:: max(1, len(chosen) // FILES)]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        rows = [f'"{each.path.resolve()}","{each.speaker}"' for each in chosen]
        table.write_text("\n".join(["path,speaker", *rows]) + "\n")
        prepare("csv", table, Path(folder) / "warm", jobs=1)
        start = time.process_time()
        made = prepare("csv", table, Path(folder) / "store", jobs=1)
        return made.seconds / (time.process_time() - start)


def operations(store: Path) -> float:
    """Floating-point operations of a training step of the default model, a frame."""
    settings = Settings.read(compose(["experiment=base", f"data.store={store}"]))
    opened = FeatureStore.open(store)
    objective, _ = build_objective(settings.for_speakers(len(opened.speakers)), opened)
    crops = CropSampler(opened, "train", batch_size=2, crop_frames=CROP, reference_frames=CROP, seed=0).batch(
        0
    )
    with FlopCounterMode(display=False) as counter:
        objective(crops, step=0, generator=torch.Generator()).total.backward()
    return counter.get_total_flops() / crops.frames


def reading(store: FeatureStore) -> float:
    """Processor seconds for a batch from the mapped shards."""
    crops = CropSampler(
        store, "train", batch_size=BATCH, crop_frames=CROP, reference_frames=CROP, seed=0, resident=False
    )
    crops._make(0, 0, 1)
    start = time.process_time()
    for step in range(20):
        crops._make(step, 0, 1)
    return (time.process_time() - start) / 20


if __name__ == "__main__":
    main()
