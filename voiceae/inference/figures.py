"""The figures that the benchmark prints: one small measured function a stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voiceae.audio import io
from voiceae.audio.io import Audio
from voiceae.audio.mel import LogMel
from voiceae.errors import ConfigError
from voiceae.inference.voice import Voice, load
from voiceae.metrics.speed import (
    RUNS,
    Figure,
    Timing,
    adain_sized,
    gflops,
    interleaved,
    matrix_product,
    peak_memory_mb,
    spectral_convergence,
    speechlike,
)
from voiceae.vocoders.base import GRIFFIN_LIM
from voiceae.vocoders.griffinlim import GriffinLim

CLIP_SECONDS = 5.0
LONG_SECONDS = 60.0
ITERATIONS = 32
PREPARED_FILES = 400


@dataclass
class Bench:
    """What the figures are measured with.

    Args:
        model: to convert with.
        corpus: folder of speakers to prepare, or None.
        hifigan: a checkpoint, or None.
        runs: of every timing.
    """

    model: str = "base"
    corpus: Path | None = None
    hifigan: Path | None = None
    runs: int = RUNS

    @cached_property
    def voice(self) -> Voice:
        """The model with Griffin-Lim."""
        return load(self.model, GRIFFIN_LIM, "cpu")

    def clip(self, seconds: float, seed: int = 0) -> Audio:
        """A clip at the model's rate."""
        rate = self.voice.spec.sample_rate
        return Audio(wav=speechlike(seconds, rate, seed), sample_rate=rate)

    @property
    def some_corpus(self) -> Path:
        """The corpus.

        Raises:
            ConfigError: when none was given.
        """
        if self.corpus is None:
            raise ConfigError("needs --corpus, a folder of speakers")
        return self.corpus


def spread(timing: Timing, unit: str = "") -> str:
    """Fastest and slowest, for a note."""
    return f"[{timing.low:.4g}, {timing.high:.4g}]{unit}"


def matrix(bench: Bench) -> list[Figure]:
    """The machine's own rate, to read the others by."""
    rate = gflops(interleaved({"product": matrix_product()}, bench.runs)["product"])
    return [
        Figure(
            name="float32 matrix product, 1024 cubed", value=rate.median, unit="GFLOP/s", note=spread(rate)
        )
    ]


def features(bench: Bench) -> list[Figure]:
    """Wav to mel, reading included."""
    transform = LogMel(bench.voice.spec)
    rate = bench.voice.spec.sample_rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        io.write(path, bench.clip(CLIP_SECONDS))

        def read() -> None:
            with torch.inference_mode():
                transform(torch.from_numpy(io.load(path, rate).wav))

        timing = interleaved({"read": read}, 3 * bench.runs)["read"].scaled(1 / CLIP_SECONDS)
    speed = 1 / timing.median
    note = f"[{1 / timing.high:,.0f}, {1 / timing.low:,.0f}]"
    return [_at_least("wav -> mel, reading included", speed, 1000, "s of audio a s", note)]


def prepare(bench: Bench) -> list[Figure]:
    """`voiceae prepare` on some hundred files, one process."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        seconds = _prepare(bench, Path(folder) / "store")
        taken = time.perf_counter() - started
    return [
        _at_least("prepare, one process", seconds / taken, 300, "s of audio a s", f"{seconds:.0f} s of audio")
    ]


def _prepare(bench: Bench, store: Path) -> float:
    """Seconds of audio prepared."""
    from voiceae.data.corpora import walk
    from voiceae.data.prepare import prepare as run

    recordings = walk("folder", bench.some_corpus)
    chosen = recordings[:: max(1, len(recordings) // PREPARED_FILES)]
    table = store.parent / "table.csv"
    rows = [f'"{each.path.resolve()}","{each.speaker}"' for each in chosen]
    table.write_text("\n".join(["path,speaker", *rows]) + "\n", encoding="utf-8")
    return run("csv", table, store, jobs=1).seconds


def griffinlim(bench: Bench) -> list[Figure]:
    """Griffin-Lim beside librosa's, on the same true magnitudes.

    Convergence is from the same first phases, the very draw that librosa makes, and away from the ends, where the two
    pad differently.
    """
    import librosa

    spec = bench.voice.spec
    ours, transform = GriffinLim(spec, n_iter=ITERATIONS), LogMel(spec)
    magnitude = transform.magnitude(torch.from_numpy(bench.clip(CLIP_SECONDS).wav))
    wanted = magnitude.numpy()
    heard: dict[str, NDArray[np.float32]] = {}

    def run_ours() -> None:
        heard["ours"] = ours.invert(magnitude[None])[0].numpy()

    def run_librosa() -> None:
        heard["librosa"] = librosa.griffinlim(
            wanted,
            n_iter=ITERATIONS,
            hop_length=spec.hop_length,
            n_fft=spec.n_fft,
            center=False,
            random_state=0,
        )

    timings = interleaved({"ours": run_ours, "librosa": run_librosa}, bench.runs)
    turns = np.random.RandomState(0).random(size=wanted.shape)  # the generator that librosa uses
    heard["ours"] = ours.invert(magnitude[None], torch.from_numpy(2 * np.pi * turns).float()[None])[0].numpy()
    theirs = librosa.stft(heard["librosa"], n_fft=spec.n_fft, hop_length=spec.hop_length, center=False)
    got = {"ours": transform.magnitude(torch.from_numpy(heard["ours"])).numpy(), "librosa": np.abs(theirs)}
    own, other = (spectral_convergence(wanted[:, 4:-4], each[:, 4:-4]) for each in got.values())
    ratio = timings["librosa"].median / timings["ours"].median
    note = f"{timings['ours'].median / CLIP_SECONDS:.4f} s/s; convergence {own:.3f}, librosa {other:.3f}"
    return [_at_least(f"Griffin-Lim, {ITERATIONS} iterations", ratio, 2, "times librosa", note)]


def model(bench: Bench) -> list[Figure]:
    """The network alone, beside a network of the published size of AdaIN-VC."""
    voice = bench.voice
    source, target = (voice.mel(bench.clip(CLIP_SECONDS, seed))[None] for seed in (0, 1))

    def forward() -> None:
        with torch.inference_mode():
            voice.model.convert(source, voice.model.describe(target))

    tasks = {"ours": forward, "yardstick": adain_sized(CLIP_SECONDS), "product": matrix_product()}
    timings = interleaved(tasks, 2 * bench.runs)
    own, other = (timings[name].scaled(1 / CLIP_SECONDS) for name in ("ours", "yardstick"))
    note = (
        f"ours {own.median:.4f} {spread(own)} s/s, yardstick {other.median:.4f} {spread(other)} s/s, "
        f"{gflops(timings['product']).median:.0f} GFLOP/s"
    )
    ratio = other.median / own.median
    return [_at_least("model forward, 5 s and 5 s", ratio, 1.8, "times AdaIN-VC's size", note)]


def convert(bench: Bench) -> list[Figure]:
    """Wav to wav, files read and written."""
    voice = bench.voice
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{seed}.wav" for seed in (0, 1)]
        for seed, path in enumerate(paths):
            io.write(path, bench.clip(CLIP_SECONDS, seed))

        def run() -> None:
            io.write(Path(folder) / "out.wav", voice.convert(paths[0], paths[1]), force=True)

        timing = interleaved({"convert": run}, bench.runs)["convert"].scaled(1 / CLIP_SECONDS)
    return [_at_most("convert 5 s with Griffin-Lim", timing.median, 0.045, "s/s", spread(timing))]


def hifigan(bench: Bench) -> list[Figure]:
    """HiFi-GAN in pieces beside one pass: time, and memory above the loaded model."""
    from voiceae.vocoders.base import load_vocoder
    from voiceae.vocoders.hifigan import HiFiGAN

    if bench.hifigan is None:
        raise ConfigError("needs --hifigan, a checkpoint folder")
    vocoder = load_vocoder(bench.hifigan, bench.voice.spec)
    assert isinstance(vocoder, HiFiGAN)
    frames = bench.voice.spec.seconds_to_frames(LONG_SECONDS)
    mel = torch.randn(1, bench.voice.spec.n_mels, frames) - 4

    def pieces() -> None:
        with torch.inference_mode():
            vocoder(mel)

    def one_pass() -> None:
        with torch.inference_mode():
            vocoder.generate(mel)

    timings = interleaved({"pieces": pieces, "one pass": one_pass}, min(bench.runs, 3))
    ratio = timings["one pass"].median / timings["pieces"].median
    own = timings["pieces"].scaled(1 / LONG_SECONDS)
    used = {name: _hifigan_memory(bench, frames, name) for name in ("forward", "generate")}
    memory = f"{used['forward']:.0f} MB in pieces, {used['generate']:.0f} MB in one pass"
    return [
        _at_least("HiFi-GAN, 60 s", ratio, 2, "times one pass", f"{own.median:.4f} {spread(own)} s/s"),
        _at_least("HiFi-GAN, 60 s, memory", used["generate"] / used["forward"], 10, "times less", memory),
    ]


def _hifigan_memory(bench: Bench, frames: int, method: str) -> float:
    """MB above the loaded vocoder."""
    before, peak = peak_memory_mb(
        "import torch; torch.set_num_threads(1)\n"
        "from voiceae.specs import AudioSpec\nfrom voiceae.vocoders.base import load_vocoder\n"
        f"vocoder = load_vocoder({str(bench.hifigan)!r}, AudioSpec())\n"
        f"mel = torch.randn(1, {bench.voice.spec.n_mels}, {frames}) - 4\n"
        "with torch.inference_mode(): vocoder(mel[..., :20])\n"
        f"def work():\n    with torch.inference_mode(): vocoder.{method}(mel)\n"
    )
    return max(peak - before, 0.1)


def memory(bench: Bench) -> list[Figure]:
    """Converting a minute, above the loaded model."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.wav" for name in ("long", "target")]
        for path, seconds in zip(paths, (LONG_SECONDS, CLIP_SECONDS), strict=True):
            io.write(path, bench.clip(seconds))
        before, peak = peak_memory_mb(
            "import torch; torch.set_num_threads(1)\nimport voiceae\n"
            f"voice = voiceae.load({bench.model!r}, {GRIFFIN_LIM!r}, 'cpu')\n"
            f"voice.convert({str(paths[1])!r}, {str(paths[1])!r})\n"  # libraries are loaded at first use
            f"def work(): voice.convert({str(paths[0])!r}, {str(paths[1])!r})\n"
        )
    note = f"loaded {before:.0f} MB, peak {peak:.0f} MB"
    return [_at_most("convert 60 s, memory above the model", peak - before, 150, "MB", note)]


def train(bench: Bench) -> list[Figure]:
    """Training of the default model on the CPU."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        _prepare(bench, store)
        for precision, bar in (("fp32", 4000), ("bf16", 7000)):
            speeds = _train(store, Path(folder) / precision, precision)
            note = f"[{min(speeds):,.0f}, {max(speeds):,.0f}]"
            name = f"training, 128 x 128 frames, {precision}"
            found.append(_at_least(name, float(np.median(speeds)), bar, "frames/s", note))
    return found


def _train(store: Path, out: Path, precision: str) -> list[float]:
    """Frames a second over windows of two steps, the first window left out."""
    overrides = {
        "data.store": store,
        "out": out,
        "trainer.precision": precision,
        "trainer.threads": 1,
        "trainer.max_steps": 16,
        "trainer.log_every": 2,
        "trainer.validate_every": 1000,
        "trainer.validate_batches": 0,
        "trainer.picture_every": 0,
    }
    arguments = [f"{name}={value}" for name, value in overrides.items()]
    _run([sys.executable, "-m", "voiceae", "train", *arguments])
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [float(line["frames_per_second"]) for line in lines if "frames_per_second" in line][1:]


def start(bench: Bench) -> list[Figure]:
    """How long the command line takes to say something."""
    tasks: dict[str, Callable[[], object]] = {
        "voiceae --help": lambda: _run([sys.executable, "-m", "voiceae", "--help"]),
        "a config error": lambda: _run([sys.executable, "-m", "voiceae", "train", "no.such=key"], code=1),
    }
    timings = interleaved(tasks, bench.runs)
    bars = {"voiceae --help": 0.3, "a config error": 0.5}
    return [
        _at_most(name, timings[name].median, bar, "s", spread(timings[name])) for name, bar in bars.items()
    ]


def _run(arguments: list[str], code: int = 0) -> None:
    done = subprocess.run(
        arguments, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode != code:
        raise ConfigError(
            f"{' '.join(arguments[1:4])}: exit code {done.returncode}: {done.stderr.strip()[-200:]}"
        )


def _at_least(name: str, value: float, bar: float, unit: str, note: str = "") -> Figure:
    return Figure(
        name=name, value=value, unit=unit, bar=f"at least {bar:,g}", reached=value >= bar, note=note
    )


def _at_most(name: str, value: float, bar: float, unit: str, note: str = "") -> Figure:
    return Figure(name=name, value=value, unit=unit, bar=f"at most {bar:,g}", reached=value <= bar, note=note)


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "matrix": matrix,
    "features": features,
    "prepare": prepare,
    "griffinlim": griffinlim,
    "model": model,
    "convert": convert,
    "hifigan": hifigan,
    "memory": memory,
    "train": train,
    "start": start,
}
"""Stages by name."""
