"""All stages by name, how they are run, and a picture of what a conversion costs by its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from voiceae.benchmark import conversion_stages as whole
from voiceae.benchmark import corpus_stages as corpus
from voiceae.benchmark import part_stages as parts
from voiceae.benchmark.measuring import Bench, Figure
from voiceae.errors import ConfigError, VoiceAEError
from voiceae.hardware import torch_threads
from voiceae.io.filesystem import atomic_path


def draw_lengths(figures: Sequence[Figure], path: Path) -> None:
    """Time a second and memory above the model over the length of the source, one line a number of threads.

    Raises:
        ConfigError: when there are no figures by length.
    """
    by_length = [figure for figure in figures if figure.seconds is not None and figure.value is not None]
    by_length.sort(key=lambda figure: figure.seconds or 0)
    if not by_length:
        raise ConfigError(f"{path}: there is nothing to draw; measure the stage lengths")
    from matplotlib.figure import Figure as Page

    page = Page(figsize=(9, 3.6), layout="constrained")
    labels = {"s/s": "seconds a second of audio", "MB": "MB above the model"}
    for plot, (unit, label) in zip(page.subplots(1, 2), labels.items(), strict=True):
        for threads in sorted({figure.threads for figure in by_length}):
            own = [each for each in by_length if each.unit == unit and each.threads == threads]
            readings = [(each.seconds, each.value, each.low or 0, each.high or 0) for each in own]
            at, middle, low, high = np.array(readings, np.float64).reshape(-1, 4).T
            name = f"{threads} thread{'s' * (threads > 1)}"
            plot.errorbar(at, middle, [middle - low, high - middle], marker="o", capsize=3, label=name)
        plot.set(xscale="log", xlabel="length of the source, s", ylabel=label)
        plot.set_ylim(bottom=0)
        plot.legend()
    with atomic_path(path) as temporary:
        page.savefig(temporary, dpi=150)


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
            if count != threads[0] and name not in THREADED:
                continue
            try:
                # A missing checkpoint or library costs its own stage only.
                with torch_threads(count):
                    figures = STAGES[name](bench)
            except (VoiceAEError, ImportError, OSError, RuntimeError) as error:
                figures = [Figure(name=name, value=None, unit="", note=f"not measured: {error}")]
            yield from (replace(figure, threads=count) for figure in figures)
