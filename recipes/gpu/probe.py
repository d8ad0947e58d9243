"""What this machine's GPU makes of voiceae, the most telling rows first, within a budget of minutes.

    python recipes/gpu/probe.py --minutes 4 --out probe.json
    python recipes/gpu/probe.py --only parity

A parity row that is out of its limits, or a row that raises, makes the exit code 1. The file is rewritten after every
row, so a probe that is stopped keeps what it has measured. Without a GPU it runs on the CPU.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import voiceae  # noqa: E402  # the checkout need not be installed
from voiceae.data.prepare import prepare  # noqa: E402
from voiceae.data.store import FeatureStore  # noqa: E402
from voiceae.data.waves import add_waves  # noqa: E402
from voiceae.io import modelfile  # noqa: E402
from voiceae.training.loop import Training as Loop  # noqa: E402
from voiceae.training.run import build_objective  # noqa: E402
from voiceae.training.settings import Settings, compose  # noqa: E402
from voiceae.training.throughput import compile_parts, peak_of  # noqa: E402

ASSETS = Path(voiceae.__file__).parent / "assets"
# Relative root mean square error against float32 on the CPU. Float32 sums in another order differ by about 1e-6 a
# layer, which instance norms of quiet channels enlarge; bfloat16 has steps of 4e-3 a layer.
LIMITS = {"fp32": 2e-3, "bf16": 8e-2}
TRAININGS = {
    "base": [],
    "base_gan": [],
    "vqvae": [],
    "vocoder": [],
    "vocoder_gan": [f"loss.finetune_on_reconstructions_of={ASSETS / 'base.safetensors'}"],
}
TINY = {
    "autoencoder": [
        *(
            f"model.{part}.{size}"
            for part in ("content", "speaker", "decoder")
            for size in ("channels=16", "n_blocks=1")
        ),
    ],
    "vocoder": ["model.channels=16", "model.n_blocks=1"],
}


class Probe:
    """Rows, and the file that they are written to.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.rows = options, []
        self.device = torch.device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.end = time.monotonic() + 60 * options.minutes
        self.chip = torch.cuda.get_device_name(self.device) if self.on_gpu else "CPU"

    def row(self, group: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure, unless the time is up, and write."""
        if time.monotonic() > self.end:
            self.rows.append({"group": group, "name": name, "left_out": "the minutes were over"})
        else:
            began = time.monotonic()
            try:
                found = measure()
            except Exception as error:  # one row must not cost the others
                found = {
                    "ok": False,
                    "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                }
            self.rows.append(
                {"group": group, "name": name, **found, "took": round(time.monotonic() - began, 2)}
            )
        print(json.dumps(self.rows[-1]), flush=True)
        self.write()

    def write(self) -> None:
        """All rows so far, whole or not at all."""
        facts = {
            "chip": self.chip,
            "torch": torch.__version__,
            "voiceae": voiceae.__version__,
            "rows": self.rows,
        }
        path = Path(self.options.out)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(facts, indent=1) + "\n")
        temporary.replace(path)

    @property
    def failed(self) -> bool:
        """Whether a row was out of its limits or raised."""
        return any(row.get("ok") is False for row in self.rows)


def speech(seconds: float, seed: int) -> np.ndarray[Any, Any]:
    """Something voiced that opens and closes like syllables: -> (N,) at 22.05 kHz."""
    rng = np.random.default_rng(seed)
    count = round(seconds * 22050)
    pitch = (90 + 25 * (seed % 7)) * (1 + 0.1 * np.sin(np.arange(count) / 9000))
    phase = np.cumsum(pitch) / 22050
    wave = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 20)) + 0.1 * rng.standard_normal(count)
    return (0.05 * wave * (1.1 + np.sin(np.arange(count) / (1500 + 100 * seed % 900)))).astype(np.float32)


def make_store(folder: Path, seconds: float) -> Path:
    """A store of six voices with waves."""
    import soundfile

    for number in range(24):
        path = folder / "corpus" / f"s{number % 6}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech(seconds, number), 22050)
    prepare("folder", folder / "corpus", folder / "store", jobs=1)
    add_waves(FeatureStore.open(folder / "store"))
    return folder / "store"


class Training:
    """A training step by step, without the loop around it.

    Args:
        probe: tells the device.
        store: to draw crops from.
        name: of the experiment.
        more: overrides.
    """

    def __init__(self, probe: Probe, store: Path, name: str, *more: str) -> None:
        overrides = [f"experiment={name}", f"data.store={store}", *TRAININGS.get(name, []), *more]
        if probe.options.tiny:
            overrides += ["data.batch_size=4", "data.crop_frames=32", "data.reference_frames=32"]
            overrides += TINY["vocoder" if name.startswith("vocoder") else "autoencoder"]
            if name == "vocoder_gan":
                overrides += [
                    "loss.adversary.sizes=[512]",
                    "loss.adversary.periods=[3]",
                    "loss.adversary.channels=4",
                ]
        opened = FeatureStore.open(store)
        settings = Settings.read(compose(overrides)).for_speakers(len(opened.speakers))
        torch.manual_seed(settings.seed)
        self.device = probe.device
        self.half = probe.on_gpu
        fabric = Fabric(accelerator=self.device.type, devices=1)
        self.module = Loop(build_objective(settings, opened)[0], opened, settings, fabric)
        self.module.start()
        self.module.objective.train()

    def steps(self, count: int) -> None:
        """So many steps, ended."""
        for _ in range(count):
            torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
                self.module.train_step()
        if self.half:
            torch.cuda.synchronize(self.device)

    def weights(self) -> Tensor:
        """All weights in a row, on the CPU."""
        return torch.cat([weight.detach().flatten().cpu() for weight in self.module.objective.parameters()])

    def state(self) -> dict[str, Any]:
        """All that changes."""
        module = self.module
        kept = {
            "weights": module.objective.state_dict(),
            "optimizers": [each.state_dict() for each in module.optimizers],
        }
        return copy.deepcopy(kept | {"step": module.step, "averages": module.averages.values})

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        module = self.module
        module.objective.load_state_dict(state["weights"])
        for optimizer, kept in zip(module.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        module.averages.load(state["averages"])
        module.step = state["step"]


def apart(ours: Tensor, exact: Tensor) -> float:
    """Relative root mean square error."""
    ours, exact = ours.detach().double().cpu(), exact.detach().double().cpu()
    return float((ours - exact).square().mean().sqrt() / exact.square().mean().sqrt().clamp_min(1e-12))


def modules() -> Iterator[tuple[str, Callable[[torch.device], Callable[[Tensor], Tensor]]]]:
    """Name and maker of what is compared: from a mel (B, M, T) to one tensor."""
    base = modelfile.load(ASSETS / "base.safetensors", kind="autoencoder").module
    vocoder = modelfile.load(ASSETS / "vocoder.safetensors", kind="vocoder").module
    parts: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
        "content encoder": lambda m, v, x: m.content(m.normalise(x)),
        "speaker encoder": lambda m, v, x: m.embed(x),
        "pitch": lambda m, v, x: m.pitch(x),
        "autoencoder": lambda m, v, x: m.decode(m.encode(x), m.embed(x), timbre=m.timbre_of(x)),
        "conversion": lambda m, v, x: m.convert(x, m.describe(x.roll(1, 0))),
        "vocoder's pitch": lambda m, v, x: v.read_pitch(x)[1].log(),
        "vocoder": lambda m, v, x: spectrum(v.synthesise(x).wav),
    }

    def make(
        part: Callable[[Any, Any, Tensor], Tensor],
    ) -> Callable[[torch.device], Callable[[Tensor], Tensor]]:
        def on(device: torch.device) -> Callable[[Tensor], Tensor]:
            model, speaker = copy.deepcopy(base).to(device).eval(), copy.deepcopy(vocoder).to(device).eval()
            return lambda mel: part(model, speaker, mel.to(device))

        return on

    for name, part in parts.items():
        yield name, make(part)


def spectrum(wav: Tensor) -> Tensor:
    """Log-mel of a wave, which does not turn with the last bit of a phase."""
    from voiceae.dsp.mel import LogMel

    return LogMel(voiceae.AudioSpec()).to(wav.device)(wav.float())


def parity(probe: Probe, store: Path) -> None:
    """Every module: float32 on the CPU against float32 and bfloat16 here."""
    spec = voiceae.AudioSpec()
    from voiceae.dsp.mel import LogMel

    seconds = 0.6 if probe.options.tiny else 3.0
    wav = torch.from_numpy(np.stack([speech(seconds, seed) for seed in range(4)]))
    mel = LogMel(spec)(wav)
    probe.row(
        "parity",
        "log-mel",
        lambda: judged({"fp32": apart(LogMel(spec).to(probe.device)(wav.to(probe.device)), mel)}),
    )
    for name, make in modules():
        probe.row("parity", name, lambda make=make: judged(compared(probe, make, mel)))


@torch.no_grad()
def compared(
    probe: Probe, make: Callable[[torch.device], Callable[[Tensor], Tensor]], mel: Tensor
) -> dict[str, float]:
    """Errors by precision."""
    exact, here = make(torch.device("cpu"))(mel), make(probe.device)
    errors = {"fp32": apart(here(mel), exact)}
    with torch.autocast(probe.device.type, dtype=torch.bfloat16):
        errors["bf16"] = apart(here(mel), exact)
    return errors


def judged(errors: dict[str, float]) -> dict[str, Any]:
    """With the limits, and whether they hold."""
    ok = all(error <= LIMITS[name] for name, error in errors.items())  # a NaN does not
    return {**errors, "limits": {name: LIMITS[name] for name in errors}, "ok": ok}


def repeats(probe: Probe, store: Path) -> None:
    """The same steps twice, and resumed half way: which weights come out equal."""
    count = 4 if probe.options.tiny else 20

    def measure(name: str) -> dict[str, Any]:
        first, second = Training(probe, store, name), Training(probe, store, name)
        first.steps(count)
        second.steps(count // 2)
        state = second.state()
        second.steps(count - count // 2)
        third = Training(probe, store, name)
        third.restore(state)
        third.steps(count - count // 2)
        once, again, resumed = (each.weights() for each in (first, second, third))
        found = {"steps": count, "again": apart(again, once), "resumed": apart(resumed, once)}
        exact = torch.equal(once, again) and torch.equal(once, resumed)
        # Bit for bit is promised on a CPU alone; 20 steps of Adam carry a last bit to at most about a percent.
        return {
            **found,
            "bit_for_bit": exact,
            "ok": exact or (probe.on_gpu and max(found["again"], found["resumed"]) < 0.02),
        }

    for name in ("base", "vqvae"):
        probe.row("repeats", name, lambda name=name: measure(name))


def speed(probe: Probe, store: Path, name: str, *more: str, compiler: str | None = None) -> dict[str, Any]:
    """Frames a second, milliseconds a step, memory, and operations set against the chip's."""
    from torch.utils.flop_counter import FlopCounterMode

    training = Training(probe, store, name, *more)
    if probe.on_gpu:
        torch.cuda.reset_peak_memory_stats(probe.device)
    with FlopCounterMode(display=False) as counted:
        training.steps(1)
    if compiler:
        compile_parts(training.module.objective.model, compiler)
    training.steps(3 if compiler else 1)
    count, frames, began = (1 if probe.options.tiny else 20), training.module.frames, time.monotonic()
    training.steps(count)
    seconds = (time.monotonic() - began) / count
    found = {
        "ms": round(1000 * seconds, 2),
        "frames_per_second": round((training.module.frames - frames) / count / seconds),
        "tflops": round(1e-12 * counted.get_total_flops() / seconds, 3),
    }
    if probe.on_gpu:
        found["peak_gib"] = round(torch.cuda.max_memory_allocated(probe.device) / 2**30, 2)
        if peak := peak_of(probe.chip):
            found["bf16_peak_share"] = round(found["tflops"] / peak, 4)
    return found


def eager(probe: Probe, store: Path) -> None:
    """All trainings as they are."""
    for name in TRAININGS:
        probe.row("eager", name, lambda name=name: speed(probe, store, name))


def store_rows(probe: Probe, store: Path) -> None:
    """The store on the device, and read from disk."""
    for resident in ("true", "false"):
        more = f"data.resident={resident}"
        probe.row("store", more, lambda more=more: speed(probe, store, "base", more))


def conversion(probe: Probe, store: Path) -> None:
    """Seconds of audio a second, whole and as a stream."""
    voice = voiceae.load("base", device=probe.device)
    seconds = 1.0 if probe.options.tiny else 10.0
    source, target = (speech(seconds, 1), 22050), (speech(2.0, 3), 22050)

    def whole() -> dict[str, Any]:
        heard = voice.profile(target)
        voice.convert(source, heard)
        began = time.monotonic()
        voice.convert(source, heard)
        return {"audio_seconds_per_second": round(seconds / (time.monotonic() - began), 2)}

    def stream() -> dict[str, Any]:
        flow = voice.stream(target)
        blocks = np.array_split(source[0], round(seconds / 0.02))
        flow.push(blocks[0])
        took = []
        for block in blocks:
            began = time.monotonic()
            flow.push(block)
            took.append(time.monotonic() - began)
        return {
            "ms_a_block_median": round(1000 * float(np.median(took)), 2),
            "ms_a_block_most": round(1000 * max(took), 2),
        }

    probe.row("conversion", "whole", whole)
    probe.row("conversion", "stream", stream)


def ranks(probe: Probe, store: Path) -> None:
    """Two processes through the command; over gloo where there is one device."""
    several = probe.on_gpu and torch.cuda.device_count() > 1

    def measure() -> dict[str, Any]:
        out = Path(tempfile.mkdtemp()) / "run"
        arguments = [
            "experiment=debug",
            f"data.store={store}",
            f"out={out}",
            "trainer.strategy=ddp",
            "trainer.devices=2",
        ]
        arguments += ["trainer.picture_every=0", f"trainer.accelerator={'gpu' if several else 'cpu'}"]
        if not several:
            arguments.append("trainer.process_group_backend=gloo")
        command = [sys.executable, "-m", "voiceae", "train", *arguments]
        left = max(60.0, probe.end - time.monotonic())  # two ranks that wait for each other never end
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=left)
        last = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        return {
            "devices": "two GPUs" if several else "two processes of the CPU",
            "ok": not done.returncode,
            "said": last,
        }

    probe.row("ranks", "debug", measure)


def compiled(probe: Probe, store: Path) -> None:
    """All trainings compiled."""
    compiler = "aot_eager" if probe.options.tiny else "inductor"
    for name in TRAININGS:
        probe.row(
            "compiled", f"{name} {compiler}", lambda name=name: speed(probe, store, name, compiler=compiler)
        )


def batches(probe: Probe, store: Path) -> None:
    """Larger and larger batches."""
    for size in (8,) if probe.options.tiny else (128, 256, 512, 1024, 2048):
        more = f"data.batch_size={size}"
        probe.row("batches", more, lambda more=more: speed(probe, store, "base", more))


GROUPS = {
    "parity": parity,
    "repeats": repeats,
    "eager": eager,
    "conversion": conversion,
    "store": store_rows,
    "ranks": ranks,
    "batches": batches,
    "compiled": compiled,
}
"""From the most telling to the slowest."""


def main(arguments: list[str] | None = None) -> int:
    """Probe; 1 when something is out of its limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="after which no further row begins")
    parser.add_argument(
        "--only", choices=GROUPS, action="append", help="a group of rows; may be given several times"
    )
    parser.add_argument("--out", default="probe.json", help="file of the rows")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to try the probe itself")
    options = parser.parse_args(arguments)
    probe = Probe(options)
    torch.set_float32_matmul_precision("high")
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), 1.0 if options.tiny else 4.0)
        for name, group in GROUPS.items():
            if options.only is None or name in options.only:
                group(probe, store)
    return int(probe.failed)


if __name__ == "__main__":
    sys.exit(main())
