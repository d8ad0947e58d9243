"""Stages that look at one part each: the machine itself, features, vocoders, the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from voiceae.benchmark.context import CLIP_SECONDS, Bench, at_least, over, plain, rate, skipped
from voiceae.benchmark.measuring import (
    Figure,
    Timing,
    adain_sized,
    gflops,
    interleaved,
    librosa_mel,
    matrix_product,
    peak_memory_mb,
    spectral_convergence,
    torchaudio_mel,
)
from voiceae.dsp.mel import LogMel
from voiceae.errors import ConfigError
from voiceae.hardware import bf16_support
from voiceae.io import audio as audio_io
from voiceae.vocoders.griffinlim import GriffinLim

ITERATIONS = 32
LONG_SECONDS = 60.0


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

    def run(transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        with torch.inference_mode():
            transform(wav)

    tasks = {
        "ours": lambda: run(ours),
        "torchaudio": lambda: run(theirs),
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
    wanted = magnitude.numpy()
    theirs = torchaudio.transforms.GriffinLim(spec.n_fft, ITERATIONS, hop_length=spec.hop_length, power=1.0)
    heard: dict[str, NDArray[np.float32]] = {}

    def run_librosa() -> None:
        heard["librosa"] = librosa.griffinlim(
            wanted,
            n_iter=ITERATIONS,
            hop_length=spec.hop_length,
            n_fft=spec.n_fft,
            center=False,
            random_state=0,
        )

    tasks = {
        "ours": lambda: ours.invert(magnitude[None]),
        "librosa": run_librosa,
        "torchaudio": lambda: theirs(magnitude),
    }
    timings, machine = bench.measure(tasks)
    turns = np.random.RandomState(0).random(size=wanted.shape)  # the generator that librosa uses
    heard["ours"] = ours.invert(magnitude[None], torch.from_numpy(2 * np.pi * turns).float()[None])[0].numpy()
    again = librosa.stft(heard["librosa"], n_fft=spec.n_fft, hop_length=spec.hop_length, center=False)
    got = {"ours": transform.magnitude(torch.from_numpy(heard["ours"])).numpy(), "librosa": np.abs(again)}
    own, other = (spectral_convergence(wanted[:, 4:-4], each[:, 4:-4]) for each in got.values())
    note = (
        f"{timings['ours'].median / CLIP_SECONDS:.4f} s/s; convergence {own:.3f}, librosa {other:.3f}; "
        f"{over(timings['torchaudio'], timings['ours']).median:.1f} times torchaudio"
    )
    ratio = over(timings["librosa"], timings["ours"])
    return [at_least(f"Griffin-Lim, {ITERATIONS} iterations", ratio, 2, "times librosa", note, machine)]


def vocoder(bench: Bench) -> list[Figure]:
    """The vocoder that comes with the toolkit, alone."""
    if bench.own_voice is None:
        raise ConfigError("this installation comes without a vocoder of its own")
    own = bench.own_voice.vocoder
    mel = bench.voice.mel(bench.clip(CLIP_SECONDS))[None]

    def run() -> None:
        with torch.inference_mode():
            own(mel)

    timings, machine = bench.measure({"own": run}, 2 * bench.runs)
    return [plain(f"vocoder {own.name}, 5 s", timings["own"].scaled(1 / CLIP_SECONDS), "s/s", "", machine)]


def model(bench: Bench) -> list[Figure]:
    """The network alone, beside a network of the published size of AdaIN-VC."""
    voice = bench.voice
    source, target = (voice.mel(bench.clip(CLIP_SECONDS, seed))[None] for seed in (0, 1))

    def forward() -> None:
        with torch.inference_mode():
            voice.model.convert(source, voice.model.describe(target))

    timings, machine = bench.measure({"ours": forward, "other": adain_sized(CLIP_SECONDS)}, 2 * bench.runs)
    own, other = (timings[name].scaled(1 / CLIP_SECONDS) for name in ("ours", "other"))
    note = f"ours {own.median:.4f} s/s, yardstick {other.median:.4f} s/s"
    ratio = over(other, own)
    return [at_least("model forward, 5 s and 5 s", ratio, 1.8, "times AdaIN-VC's size", note, machine)]


def hifigan(bench: Bench) -> list[Figure]:
    """HiFi-GAN in pieces beside one pass: time, and memory above the loaded model."""
    from voiceae.vocoders.base import load_vocoder
    from voiceae.vocoders.hifigan import HiFiGAN

    if bench.hifigan is None:
        raise ConfigError("needs --hifigan, a checkpoint folder")
    loaded = load_vocoder(bench.hifigan, bench.voice.spec)
    assert isinstance(loaded, HiFiGAN)
    frames = bench.voice.spec.seconds_to_frames(LONG_SECONDS)
    mel = torch.randn(1, bench.voice.spec.n_mels, frames) - 4

    def pieces() -> None:
        with torch.inference_mode():
            loaded(mel)

    def one_pass() -> None:
        with torch.inference_mode():
            loaded.generate(mel)

    timings, machine = bench.measure({"pieces": pieces, "one pass": one_pass}, min(bench.runs, 3))
    own = timings["pieces"].scaled(1 / LONG_SECONDS)
    used = {name: _hifigan_memory(bench, frames, name) for name in ("forward", "generate")}
    memory = f"{used['forward']:.0f} MB in pieces, {used['generate']:.0f} MB in one pass"
    ratio, less = over(timings["one pass"], timings["pieces"]), used["generate"] / used["forward"]
    return [
        at_least("HiFi-GAN, 60 s", ratio, 2, "times one pass", f"{own.median:.4f} s/s", machine),
        at_least("HiFi-GAN, 60 s, memory", Timing(less, less, less), 10, "times less", memory),
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
