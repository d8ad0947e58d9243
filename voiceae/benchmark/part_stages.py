"""Stages that look at one part each, beside yardsticks: the machine itself, features, vocoders, the network."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voiceae.benchmark.measuring import (
    CLIP_SECONDS,
    Bench,
    Figure,
    Timing,
    at_least,
    gflops,
    interleaved,
    matrix_product,
    over,
    peak_memory_mb,
    plain,
    rate,
    skipped,
)
from voiceae.dsp.mel import LogMel
from voiceae.errors import ConfigError
from voiceae.hardware import bf16_support
from voiceae.io import audio as audio_io
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import GriffinLim

ITERATIONS = 32  # the number that librosa and torchaudio take by default
LONG_SECONDS = 60.0  # long enough that a vocoder works in pieces


def matrix(bench: Bench) -> list[Figure]:
    """The machine's own rates, to read the others by."""
    types = {"float32": torch.float32}
    if (support := bf16_support("cpu")).native:
        types["bfloat16"] = torch.bfloat16
    tasks = {name: matrix_product(dtype=dtype) for name, dtype in types.items()}
    timings = interleaved(tasks, bench.runs)
    title = "{} matrix product, 1024 cubed".format
    found = [plain(title(name), gflops(timings[name]), "GFLOP/s") for name in types]
    return found if support.native else [*found, skipped(title("bfloat16"), support.reason)]


def features(bench: Bench) -> list[Figure]:
    """Wav to mel, beside torchaudio and librosa on the same wave; and with reading the file."""
    spec = bench.voice.spec
    ours, path = LogMel(spec), bench.written(CLIP_SECONDS)
    wav = torch.from_numpy(bench.clip(CLIP_SECONDS).wav)
    theirs, librosas = torchaudio_mel(spec), librosa_mel(spec)

    tasks: dict[str, Callable[[], object]] = {
        "ours": torch.inference_mode()(partial(ours, wav)),
        "torchaudio": torch.inference_mode()(partial(theirs, wav)),
        "librosa": lambda: librosas(wav.numpy()),
        "read": lambda: ours(torch.from_numpy(audio_io.load(path, spec.sample_rate).wav)),
    }
    timings, machine = bench.measure(tasks, 3 * bench.runs)
    reading, own = (rate(timings[name], CLIP_SECONDS) for name in ("read", "ours"))
    note = f"{own.median:,.0f} s of audio a s; {over(timings['librosa'], timings['ours']).median:.1f} times librosa"
    ratio = over(timings["torchaudio"], timings["ours"])
    return [
        at_least("wav -> mel", ratio, 1.5, "times torchaudio", note, machine),
        at_least("wav -> mel, reading included", reading, 1000, "s of audio a s", "", machine),
    ]


def griffinlim(bench: Bench) -> list[Figure]:
    """Griffin-Lim beside librosa's and torchaudio's, on the same true magnitudes.

    Convergence is from the same first phases, the very draw that librosa makes, and away from the ends, where the two
    pad differently.
    """
    import librosa
    import torchaudio

    spec = bench.voice.spec
    ours, transform = GriffinLim(spec, n_iter=ITERATIONS), LogMel(spec)
    magnitude = transform.magnitude(torch.from_numpy(bench.clip(CLIP_SECONDS).wav))
    target = magnitude.numpy()
    theirs = torchaudio.transforms.GriffinLim(spec.n_fft, ITERATIONS, hop_length=spec.hop_length, power=1.0)
    frames: dict[str, Any] = {"n_fft": spec.n_fft, "hop_length": spec.hop_length, "center": False}
    librosas = partial(librosa.griffinlim, target, n_iter=ITERATIONS, random_state=0, **frames)
    tasks: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.invert(magnitude[None]),
        "librosa": librosas,
        "torchaudio": lambda: theirs(magnitude),
    }
    timings, machine = bench.measure(tasks)
    turns = np.random.RandomState(0).random(size=target.shape)  # the generator that librosa uses
    wave = ours.invert(magnitude[None], torch.from_numpy(2 * np.pi * turns).float()[None])[0]
    got = transform.magnitude(wave).numpy(), np.abs(librosa.stft(librosas(), **frames))
    own, other = (spectral_convergence(target[:, 4:-4], each[:, 4:-4]) for each in got)
    note = (
        f"{timings['ours'].median / CLIP_SECONDS:.4f} s/s; convergence {own:.3f}, librosa {other:.3f}; "
        f"{over(timings['torchaudio'], timings['ours']).median:.1f} times torchaudio"
    )
    ratio = over(timings["librosa"], timings["ours"])
    return [at_least(f"Griffin-Lim, {ITERATIONS} iterations", ratio, 2, "times librosa", note, machine)]


def vocoder(bench: Bench) -> list[Figure]:
    """The vocoder that comes with the toolkit, alone."""
    if bench.default_voice is None:
        raise ConfigError("this installation comes without a vocoder of its own")
    own = bench.default_voice.vocoder
    mel = bench.voice.mel(bench.clip(CLIP_SECONDS))[None]
    run = torch.inference_mode()(partial(own, mel))
    timings, machine = bench.measure({"own": run}, 2 * bench.runs)
    return [plain(f"vocoder {own.name}, 5 s", timings["own"].scaled(1 / CLIP_SECONDS), "s/s", "", machine)]


def model(bench: Bench) -> list[Figure]:
    """The network alone, beside a network of the published size of AdaIN-VC."""
    voice = bench.voice
    source, target = (voice.mel(bench.clip(CLIP_SECONDS, seed))[None] for seed in (0, 1))

    @torch.inference_mode()
    def forward() -> None:
        voice.model.convert(source, voice.model.describe(target))

    tasks = {"ours": forward, "other": adain_yardstick(CLIP_SECONDS)}
    timings, machine = bench.measure(tasks, 2 * bench.runs)
    own, other = (timings[name].scaled(1 / CLIP_SECONDS) for name in ("ours", "other"))
    note = f"ours {own.median:.4f} s/s, yardstick {other.median:.4f} s/s"
    ratio = over(other, own)
    return [at_least("model forward, 5 s and 5 s", ratio, 1.8, "times AdaIN-VC's size", note, machine)]


def hifigan(bench: Bench) -> list[Figure]:
    """HiFi-GAN in chunks beside one pass: time, and memory above the loaded model."""
    from voiceae.vocoders.hifigan import HiFiGAN
    from voiceae.vocoders.load import load_vocoder

    if bench.hifigan is None:
        raise ConfigError("needs --hifigan, a checkpoint folder")
    loaded = load_vocoder(bench.hifigan, bench.voice.spec)
    assert isinstance(loaded, HiFiGAN)
    frames = bench.voice.spec.seconds_to_frames(LONG_SECONDS)
    mel = torch.randn(1, bench.voice.spec.n_mels, frames) - 4

    chunks = torch.inference_mode()(partial(loaded, mel))
    one_pass = torch.inference_mode()(partial(loaded.generate, mel))
    timings, machine = bench.measure({"chunks": chunks, "one pass": one_pass}, min(bench.runs, 3))
    own = timings["chunks"].scaled(1 / LONG_SECONDS)
    used = {name: _hifigan_memory(bench, frames, name) for name in ("forward", "generate")}
    memory = f"{used['forward']:.0f} MB in chunks, {used['generate']:.0f} MB in one pass"
    ratio, less = over(timings["one pass"], timings["chunks"]), used["generate"] / used["forward"]
    return [
        at_least("HiFi-GAN, 60 s", ratio, 2, "times one pass", f"{own.median:.4f} s/s", machine),
        at_least("HiFi-GAN, 60 s, memory", Timing.of([less]), 10, "times less", memory),
    ]


def _hifigan_memory(bench: Bench, frames: int, method: str) -> float:
    """MB above the loaded vocoder."""
    before, peak = peak_memory_mb(
        "import torch; torch.set_num_threads(1)\n"
        "from voiceae.specs import AudioSpec\nfrom voiceae.vocoders.load import load_vocoder\n"
        f"vocoder = load_vocoder({str(bench.hifigan)!r}, AudioSpec())\n"
        f"mel = torch.randn(1, {bench.voice.spec.n_mels}, {frames}) - 4\n"
        "with torch.inference_mode(): vocoder(mel[..., :20])\n"
        f"def work():\n    with torch.inference_mode(): vocoder.{method}(mel)\n"
    )
    return max(peak - before, 0.1)


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


class AdaINYardstick(nn.Module):
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
        inlet = nn.Conv1d(8 * 128 + self.N_MELS, 128, 1)
        return nn.ModuleDict({"bank": bank, "inlet": inlet, "blocks": blocks})

    def _encode(self, parts: nn.ModuleDict, mel: Tensor) -> Tensor:
        bank = [torch.relu(conv(mel))[..., : mel.shape[-1]] for conv in parts["bank"].children()]
        return parts["blocks"](torch.relu(parts["inlet"](torch.cat([*bank, mel], dim=1))))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Convert: (1, 512, T), (1, 512, T') -> (1, 512, T)."""
        speaker = self.dense(self._encode(self.speaker, target).mean(dim=2))
        scale = torch.stack([affine(speaker) for affine in self.affine]).sum(0)[..., None]
        x = self.inlet(self._encode(self.content, source)) * scale[:, :128] + scale[:, 128:]
        return self.outlet(self.blocks(x))[..., : source.shape[-1]]


def adain_yardstick(seconds: float) -> Callable[[], object]:
    """Forward of the yardstick network with source and target of `seconds` each."""
    torch.manual_seed(0)
    network = AdaINYardstick().eval()
    frames = math.ceil(seconds * AdaINYardstick.FRAME_RATE / 8) * 8
    mel = torch.randn(1, AdaINYardstick.N_MELS, frames)
    return torch.inference_mode()(partial(network, mel, mel))


def spectral_convergence(target: NDArray[np.floating], found: NDArray[np.floating]) -> float:
    """Norm of the difference of two magnitude spectra over the norm of the target."""
    return float(np.linalg.norm(found - target) / np.linalg.norm(target))
