"""Stages of whole conversions: wav to wav at several lengths, memory, cold starts, and on a busy machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from voiceae.assets import GRIFFIN_LIM
from voiceae.benchmark.measuring import (
    CLIP_SECONDS,
    Bench,
    Figure,
    Timing,
    at_most,
    command,
    interleaved,
    matrix_product,
    over,
    peak_memory_mb,
    plain,
)
from voiceae.conversion.voice import Voice
from voiceae.hardware import available_cpus, torch_threads

LENGTHS_NAME = "wav to wav"
_MEMORY_BARS = {60.0: 150.0, 3600.0: 300.0}  # MB: room for twice what was measured (77 and 133)
_BUSY_SECONDS = (5.0, 60.0)
_STREAM_SECONDS, _BLOCK_SECONDS = 10.0, 0.02  # sound cards hand over about 20 ms at a time


def convert(bench: Bench) -> list[Figure]:
    """Five seconds from file to file, with either vocoder."""
    voices = {"Griffin-Lim": bench.voice}
    bars = {"Griffin-Lim": 0.253 / 8}  # an eighth of AdaIN-VC with its own Griffin-Lim, .253 s/s on one core
    if bench.default_voice is not None:
        voices[bench.default_voice.vocoder.name] = bench.default_voice
    tasks = {name: _conversion(bench, voice, CLIP_SECONDS) for name, voice in voices.items()}
    timings, machine = bench.measure(tasks)
    costs = {name: timing.scaled(1 / CLIP_SECONDS) for name, timing in timings.items()}
    return [
        at_most(f"convert 5 s with {name}", cost, bars.get(name, 0.02), "s/s", "", machine)
        for name, cost in costs.items()
    ]


def _conversion(bench: Bench, voice: Voice, seconds: float) -> Callable[[], None]:
    source, target = bench.written(seconds), bench.written(CLIP_SECONDS, seed=1)
    out = bench.scratch / f"out-{seconds:g}.wav"
    return lambda: voice.convert_file(source, target, out, force=True)


def stream(bench: Bench) -> list[Figure]:
    """Ten seconds pushed in blocks of 20 ms, as from a microphone."""
    voice = bench.default_voice or bench.voice
    wav = bench.clip(_STREAM_SECONDS).wav
    profile = voice.profile(bench.clip(CLIP_SECONDS, seed=1))
    blocks = np.array_split(wav, round(_STREAM_SECONDS / _BLOCK_SECONDS))

    def run() -> None:
        stream = voice.stream(profile)
        for block in blocks:
            stream.push(block)
        stream.flush()

    timings, machine = bench.measure({"stream": run})
    note = f"with {voice.vocoder.name}, {1e3 * voice.stream(profile).latency_seconds:.0f} ms late"
    cost = timings["stream"].scaled(1 / _STREAM_SECONDS)
    return [at_most("stream", cost, 0.25, "s/s", note, machine)]


def lengths(bench: Bench) -> list[Figure]:
    """Cost a second and memory above the loaded model, by the length of the source."""
    voice = bench.default_voice or bench.voice
    tasks = {f"{seconds:g}": _conversion(bench, voice, seconds) for seconds in bench.lengths}
    timings, machine = bench.measure(tasks)
    figures = []
    for seconds in bench.lengths:
        timing = timings[f"{seconds:g}"].scaled(1 / seconds)
        note = f"with {voice.vocoder.name}"
        figure = plain(f"{LENGTHS_NAME}, {seconds:g} s", timing, "s/s", note, machine)
        vocoder = GRIFFIN_LIM if voice.vocoder.name == GRIFFIN_LIM else "default"
        figures += [replace(figure, seconds=seconds), _memory(bench, seconds, vocoder)]
    return figures


def _memory(bench: Bench, seconds: float, vocoder: str) -> Figure:
    """Peak of one conversion above the loaded model, in a process of its own."""
    source, target = bench.written(seconds), bench.written(CLIP_SECONDS, seed=1)
    out = bench.scratch / "out-memory.wav"
    before, peak = peak_memory_mb(
        "import torch; torch.set_num_threads(1)\nimport voiceae\n"
        f"voice = voiceae.load({bench.model!r}, {vocoder!r}, 'cpu')\n"
        f"voice.convert({str(target)!r}, {str(target)!r})\n"  # libraries are loaded at first use
        f"def work(): voice.convert_file({str(source)!r}, {str(target)!r}, {str(out)!r}, force=True)\n"
    )
    note = f"loaded {before:.0f} MB, peak {peak:.0f} MB"
    name, value = f"memory above the model, {seconds:g} s", Timing.of([peak - before])
    bar = _MEMORY_BARS.get(seconds)
    figure = plain(name, value, "MB", note) if bar is None else at_most(name, value, bar, "MB", note)
    return replace(figure, seconds=seconds)


def busy(bench: Bench) -> list[Figure]:
    """A conversion with all threads while another process spins, over its time alone on one thread.

    Beside it stands the same ratio of one thread that multiplies matrices: what the other process takes from the
    machine itself, which is more than nothing where two processors share a core.
    """
    product = torch_threads(1)(matrix_product())
    figures = []
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def spin() -> None:
        spinner.send_signal(signal.SIGCONT)
        time.sleep(0.02)  # until the scheduler has let it run

    try:
        for seconds in _BUSY_SECONDS:
            run = _conversion(bench, bench.default_voice or bench.voice, seconds)
            tasks: dict[str, Callable[[], object]] = {
                "quiet": lambda: spinner.send_signal(signal.SIGSTOP),
                "alone": torch_threads(1)(run),
                "product alone": product,
                "noise": spin,
                "beside": torch_threads(available_cpus())(run),
                "product beside": product,
            }
            timings = interleaved(tasks, bench.runs)
            ratio = over(timings["beside"], timings["alone"])
            machine = over(timings["product beside"], timings["product alone"]).median
            name = f"convert {seconds:g} s beside a spinning process"
            note = f"a matrix product on one thread {machine:.2f} times"
            figures.append(at_most(name, ratio, 1.5, "times alone", note))
        return figures
    finally:
        spinner.kill()
        spinner.wait()


def start(bench: Bench) -> list[Figure]:
    """Seconds of the command line from a cold start, beside importing torch."""
    source, target = bench.written(CLIP_SECONDS), bench.written(CLIP_SECONDS, seed=1)
    out = bench.scratch / "cold.wav"
    tasks: dict[str, Callable[[], object]] = {
        "voiceae --help": lambda: command("--help"),
        "a config error": lambda: command("train", "no.such=key", code=1),
        "cold convert, 5 s": lambda: command(
            *("convert", source, "--target", target, "--out", out),
            *("--model", bench.model, "--device", "cpu", "--force"),
        ),
        "import torch": lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
    }
    timings = interleaved(tasks, bench.runs)
    note = f"import torch {timings.pop('import torch').median:.2f} s"
    bars = {"voiceae --help": 0.3, "a config error": 0.5, "cold convert, 5 s": 1.2}
    return [at_most(name, timings[name], bar, "s", note) for name, bar in bars.items()]
