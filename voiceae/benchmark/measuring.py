"""Measuring speed and memory so that the numbers mean something elsewhere: yardsticks in the same run."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voiceae.specs import AudioSpec


def torchaudio_mel(spec: AudioSpec) -> Callable[[Tensor], Tensor]:
    """Torchaudio's MelSpectrogram and a logarithm: (N,) -> (M, T)."""
    import torchaudio

    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=spec.sample_rate, n_fft=spec.n_fft, win_length=spec.win_length, hop_length=spec.hop_length,
        f_min=spec.f_min, f_max=spec.f_max, n_mels=spec.n_mels, power=1.0, center=False, norm="slaney",
        mel_scale="slaney",
    )  # fmt: skip

    def log_mel(wav: Tensor) -> Tensor:
        padded = nn.functional.pad(wav[None], (spec.padding, spec.padding), mode="reflect")[0]
        return torch.log(transform(padded).clamp_min(spec.log_floor))

    return log_mel


def librosa_mel(spec: AudioSpec) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """Librosa's melspectrogram and a logarithm: (N,) -> (M, T); its filters are made anew at every call, as usual."""
    import librosa

    def log_mel(wav: NDArray[np.float32]) -> NDArray[Any]:
        padded = np.pad(wav, spec.padding, mode="reflect")
        mel = librosa.feature.melspectrogram(
            y=padded, sr=spec.sample_rate, n_fft=spec.n_fft, win_length=spec.win_length, hop_length=spec.hop_length,
            n_mels=spec.n_mels, fmin=spec.f_min, fmax=spec.f_max, power=1.0, center=False,
        )  # fmt: skip
        return np.log(np.maximum(mel, spec.log_floor))

    return log_mel


RUNS = 7


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs.

    Attributes:
        median: seconds.
        low: the fastest run.
        high: the slowest run.
    """

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> Timing:
        """The same in other units."""
        return Timing(*(value * factor for value in (self.median, self.low, self.high)))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the benchmark.

    Attributes:
        name: what was measured.
        value: as measured.
        unit: of the value.
        low: the lowest reading.
        high: the highest reading.
        machine_gflops: the machine's own rate (`matrix_product`), taken in turn with the readings.
        threads: of torch.
        seconds: length of the source, where that is what figures differ in.
        bar: what it should reach, in words.
        reached: whether it does; None where nothing is asked, or nothing could be measured.
        note: other readings, or why there is no value.
        skipped: left out on purpose, as the note says; otherwise a figure without a value is a failure.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    machine_gflops: float | None = None
    threads: int = 1
    seconds: float | None = None
    bar: str = ""
    reached: bool | None = None
    note: str = ""
    skipped: bool = False


def interleaved(tasks: Mapping[str, Callable[[], object]], runs: int = RUNS) -> dict[str, Timing]:
    """Time tasks in turn, after an unmeasured round, so that a busy moment of the machine meets all alike.

    Every round has another order, for what ran before leaves its caches and its clock rate to what runs next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    order, orders = list(tasks), random.Random(0)
    for _ in range(runs):
        orders.shuffle(order)
        for name in order:
            started = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - started)
    return {name: Timing(float(np.median(each)), min(each), max(each)) for name, each in seconds.items()}


def matrix_product(size: int = 1024, dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """Product of two square matrices, the machine's own measure: 2 size^3 operations."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))
    return lambda: a @ b


def gflops(timing: Timing, size: int = 1024) -> Timing:
    """Rate of `matrix_product` in 10^9 operations a second."""
    rates = [2e-9 * size**3 / seconds for seconds in (timing.median, timing.high, timing.low)]
    return Timing(*rates)


def speechlike(seconds: float, sample_rate: int, seed: int = 0) -> NDArray[np.float32]:
    """A buzz that glides in pitch and level, with a little noise: (N,). For speed only."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * 0.7 * t)) / sample_rate
    buzz = sum(np.sin(k * phase + k) / k for k in range(1, 25))
    level = 0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * t)
    return (0.08 * level * buzz + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def peak_memory_mb(code: str) -> tuple[float, float]:
    """Run code in a process of its own: resident memory before its function `work` runs, and its peak, MB.

    Args:
        code: Python that loads what is needed and defines `work()`.

    Raises:
        RuntimeError: when it fails; its last words are in the message.
    """
    program = (
        f"{code}\n"
        "import pathlib\n"
        "def mb(key):\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(l.split()[1]) / 1024 for l in lines if l.startswith(key))\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5')\n"  # the peak is counted from here
        "before = mb('VmRSS')\nwork()\nprint(before, mb('VmHWM'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    before, peak = done.stdout.split()[-2:]
    return float(before), float(peak)


class _Convolutions(nn.Module):
    """Two convolutions of width 5 with instance norm, and a shortcut; down- or up-sampled by `rate`."""

    def __init__(self, channels: int, down: int = 1, up: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 5, padding=2, padding_mode="reflect")
        self.second = nn.Conv1d(channels, channels * up, 5, stride=down, padding=2, padding_mode="reflect")
        self.down, self.up = down, up

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(nn.functional.instance_norm(self.first(x)))
        inner = self.second(inner)
        if self.up > 1:
            inner = inner.unflatten(1, (-1, self.up)).transpose(2, 3).flatten(2)
            x = x.repeat_interleave(self.up, dim=2)
        if self.down > 1:
            x = nn.functional.avg_pool1d(x, self.down, ceil_mode=True)
        return x + torch.relu(nn.functional.instance_norm(inner))


class AdaINSized(nn.Module):
    """A network of the published size of AdaIN-VC, as a yardstick of speed only: (1, 512, T) -> (1, 512, T).

    Two encoders (convolutions of width 1 to 8, then 6 blocks of 128 channels, three of them halving time)
    and a decoder of 6 blocks, on 512 mels; Chou et al., arXiv 1904.05742. Random weights.
    """

    N_MELS = 512
    FRAME_RATE = 80.0

    def __init__(self) -> None:
        super().__init__()
        self.content, self.speaker = self._encoder(), self._encoder()
        self.inlet = nn.Conv1d(128, 128, 1)
        self.blocks = nn.Sequential(*(_Convolutions(128, up=rate) for rate in (2, 1, 2, 1, 2, 1)))
        self.outlet = nn.Conv1d(128, self.N_MELS, 1)
        self.dense = nn.Sequential(*(nn.Linear(128, 128) for _ in range(12)))
        self.affine = nn.ModuleList(nn.Linear(128, 256) for _ in range(12))

    def _encoder(self) -> nn.ModuleDict:
        bank = nn.ModuleList(nn.Conv1d(self.N_MELS, 128, k, padding=k // 2) for k in range(1, 9))
        blocks = nn.Sequential(*(_Convolutions(128, down=rate) for rate in (1, 2, 1, 2, 1, 2)))
        return nn.ModuleDict(
            {"bank": bank, "inlet": nn.Conv1d(8 * 128 + self.N_MELS, 128, 1), "blocks": blocks}
        )

    def _encode(self, parts: nn.ModuleDict, mel: Tensor) -> Tensor:
        bank = [torch.relu(conv(mel))[..., : mel.shape[-1]] for conv in parts["bank"].children()]
        return parts["blocks"](torch.relu(parts["inlet"](torch.cat([*bank, mel], dim=1))))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Convert: (1, 512, T), (1, 512, T') -> (1, 512, T)."""
        speaker = self.dense(self._encode(self.speaker, target).mean(dim=2))
        scale = torch.stack([affine(speaker) for affine in self.affine]).sum(0)[..., None]
        x = self.inlet(self._encode(self.content, source)) * scale[:, :128] + scale[:, 128:]
        return self.outlet(self.blocks(x))[..., : source.shape[-1]]


def adain_sized(seconds: float) -> Callable[[], object]:
    """Forward of the yardstick network with source and target of `seconds` each."""
    torch.manual_seed(0)
    network = AdaINSized().eval()
    frames = math.ceil(seconds * AdaINSized.FRAME_RATE / 8) * 8
    mel = torch.randn(1, AdaINSized.N_MELS, frames)

    def forward() -> Tensor:
        with torch.inference_mode():
            return network(mel, mel)

    return forward


def spectral_convergence(wanted: NDArray[np.floating], got: NDArray[np.floating]) -> float:
    """Norm of the difference of two magnitude spectra over the norm of the wanted one."""
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
