"""A stream of hours, pushed as fast as it goes: does its latency, memory or level drift?

    python recipes/hardening/stream_soak.py --hours 24 --model tiny --json stream-tiny.json
    python recipes/hardening/stream_soak.py --hours 4 --model base --json stream-base.json

The source is two clips of the demo, over and over, with pauses between; the target is another speaker's clip. The JSON
is written again at every reading, so that a run that is cut off leaves what it found. Exit code 1 where something
drifted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import voiceae
from voiceae.conversion.streaming.stream import Stream
from voiceae.conversion.voice import Voice
from voiceae.io import audio as audio_io
from voiceae.io.filesystem import atomic_path

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "recipes" / "demo" / "clips"
BLOCK_SECONDS = 0.02
READINGS = 24
MOST_RSS_MB = 30.0  # allocators keep a few blocks; one leaked mel a step would be 100 MB an hour
MOST_LEVEL_DB = 1.0  # of the mean over a whole number of rounds of the same clips


def load_tiny(folder: Path) -> Voice:
    """A model of a few thousand random weights, with every part of a real one."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny import write_model

    return voiceae.load(write_model(folder / "tiny.safetensors"), vocoder="griffinlim", device="cpu")


def one_round(rate: int) -> np.ndarray:
    """One round of the source: two clips, each with half a second of silence behind it: -> (N,)."""
    pause = np.zeros(rate // 2, np.float32)
    clips = [audio_io.load(path, rate).wav for path in sorted(CLIPS.glob("rms_*.flac"))[:2]]
    return np.concatenate([part for clip in clips for part in (clip, pause)]).astype(np.float32)


def rss_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def readings_of(
    stream: Stream, source: np.ndarray, hours: float, readings: int = READINGS
) -> Iterator[dict[str, Any]]:
    """Push hours of the source in blocks of 20 ms, and read latency, memory and level at even intervals.

    Args:
        stream: fresh.
        source: one round, (N,), pushed over and over.
        hours: of audio.
        readings: how often; each covers whole rounds, so that their levels can be compared.

    Yields:
        hours so far, the most samples that were in and not out since the reading before (`lag_samples`), RSS, mean
        level of what came out (dBFS), and seconds of computing for a second of audio.
    """
    block = round(BLOCK_SECONDS * stream.sample_rate)
    most = max(1, round(hours * 3600 * stream.sample_rate / len(source)))
    each, taken, given, done = max(1, most // readings), 0, 0, 0
    while done < most:
        started, power, count, lag = time.monotonic(), 0.0, 0, 0
        for _ in range(min(each, most - done)):
            for start in range(0, len(source), block):
                part = source[start : start + block]
                out = stream.push(part)
                lag = max(lag, taken - given)  # what waited when this block came
                taken, given = taken + len(part), given + len(out)
                power, count = power + float(np.square(out, dtype=np.float64).sum()), count + len(out)
            done += 1
        audio = count / stream.sample_rate
        yield {
            "hours": taken / stream.sample_rate / 3600,
            "lag_samples": lag,
            "lag_seconds": lag / stream.sample_rate,
            "rss_mb": rss_mb(),
            "level_dbfs": float(10 * np.log10(max(power / max(count, 1), 1e-20))),
            "compute_per_second": (time.monotonic() - started) / max(audio, 1e-9),
        }


def drifts(readings: list[dict[str, Any]], latency_samples: int) -> list[str]:
    """What changed between the first settled reading and the last, or went beyond what the stream declares."""
    found = []
    worst = max(each["lag_samples"] for each in readings)
    if worst > latency_samples:
        found.append(f"latency: {worst} samples waited, {latency_samples} are declared")
    settled = readings[1:] if len(readings) > 2 else readings  # statistics are learned during the first
    if abs(settled[-1]["lag_samples"] - settled[0]["lag_samples"]) > latency_samples // 10:
        found.append(
            f"latency: {settled[0]['lag_samples']} samples at first, {settled[-1]['lag_samples']} at last"
        )
    grown = settled[-1]["rss_mb"] - settled[0]["rss_mb"]
    if grown > MOST_RSS_MB:
        found.append(f"memory: grew by {grown:.0f} MB")
    levels = [each["level_dbfs"] for each in settled]
    if max(levels) - min(levels) > MOST_LEVEL_DB:
        found.append(f"level: between {min(levels):.2f} and {max(levels):.2f} dBFS")
    return found


def main() -> int:
    """Run, print and write the readings: exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, required=True, help="of audio")
    parser.add_argument("--model", default="tiny", help="tiny, base or a model file")
    parser.add_argument("--json", type=Path, required=True, help="result, rewritten at every reading")
    parser.add_argument("--readings", type=int, default=READINGS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        voice = (
            load_tiny(Path(folder)) if chosen.model == "tiny" else voiceae.load(chosen.model, device="cpu")
        )
    stream = voice.stream(sorted(CLIPS.glob("slt_*.flac"))[0])
    found: dict[str, Any] = {"model": chosen.model, "latency_samples": stream.latency_samples, "readings": []}
    for reading in readings_of(stream, one_round(stream.sample_rate), chosen.hours, chosen.readings):
        found["readings"].append(reading)
        found["drifts"] = drifts(found["readings"], stream.latency_samples)
        with atomic_path(chosen.json) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(" ".join(f"{name} {value:.4g}" for name, value in reading.items()), flush=True)
    for line in found["drifts"]:
        print(line, file=sys.stderr)
    return 1 if found["drifts"] else 0


if __name__ == "__main__":
    sys.exit(main())
