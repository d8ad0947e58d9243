"""All stages by name, and how some of them are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from voiceae.errors import VoiceAEError
from voiceae.inference.benchmark import corpus, parts, whole
from voiceae.inference.benchmark.core import Bench
from voiceae.metrics.speed import Figure
from voiceae.threads import torch_threads

STAGES: dict[str, Callable[[Bench], list[Figure]]] = {
    "matrix": parts.matrix,
    "features": parts.features,
    "griffinlim": parts.griffinlim,
    "vocoder": parts.vocoder,
    "hifigan": parts.hifigan,
    "model": parts.model,
    "convert": whole.convert,
    "stream": whole.stream,
    "lengths": whole.lengths,
    "busy": whole.busy,
    "start": whole.start,
    "prepare": corpus.prepare,
    "batch": corpus.batch,
    "train": corpus.train,
}

THREADED = ("matrix", "features", "griffinlim", "vocoder", "hifigan", "model", "convert", "stream", "lengths")
"""Stages that one may want to know on all cores too; the others say themselves how many they use."""


def measure(bench: Bench, names: Sequence[str], threads: Sequence[int]) -> Iterator[Figure]:
    """Figures of some stages as they are found; one that cannot run says so and does not hide the others.

    Args:
        bench: what to measure with.
        names: of the stages.
        threads: of torch, one after another.
    """
    for count in threads:
        for name in names:
            if count == threads[0] or name in THREADED:
                yield from _measure(bench, name, count)


def _measure(bench: Bench, name: str, threads: int) -> list[Figure]:
    try:
        with torch_threads(threads):
            figures = STAGES[name](bench)
    except (VoiceAEError, ImportError, OSError, RuntimeError) as error:
        figures = [Figure(name=name, value=None, unit="", note=f"not measured: {error}")]
    return [replace(figure, threads=threads) for figure in figures]
