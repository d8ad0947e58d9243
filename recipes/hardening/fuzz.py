"""Malformed inputs: random cuts, flips and splices of every format that voiceae reads.

    python recipes/hardening/fuzz.py --count 10000 --out OUT

Each input is made from a valid file by a mutation that its number decides, and goes through the Python function that
reads such files; every 25th also through the command line. An input may be read, read with a warning, or refused by a
`VoiceAEError` of one line. What counts as a failure:

    traceback    any other exception (memory, limited to 6 GB, included)
    hang         more than 20 s of processor time, or ten minutes in all
    crash        the process died of a signal
    lost         speech is missing in what was read, without a word, although the format can tell
    line         a message of several lines, or a decoder's own lines on standard error
    half         a command that failed left a result or a temporary file behind

OUT/fuzz.json holds the counts by format, OUT/failures/ the inputs that failed. The exit status is 1 where any did.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "recipes/demo/clips/slt_1.flac"
CPU_SECONDS, WALL_SECONDS, MEMORY = 20, 600, 6 << 30
FAILURES = ("traceback", "hang", "crash", "lost", "line", "half")
LOST_SECONDS = 0.03  # a codec's frame of 20 ms and its delay are not speech that was lost
COMMAND_EVERY = 25
_COUNT = b"Xing"  # of an MP3 file's frames, as libsndfile writes it

# What tells that speech is missing. Where a format cannot tell, a loss is nobody's fault and is not counted.
#   wav   length of the data chunk against the file's; not: flips in the samples or in the rate, channels or width
#   flac  promised number of samples, frame numbers, checksums of header and frame
#   ogg   page sequence numbers, checksums, granule positions, end mark
#   mp3   numbers of frames and bytes in the Xing header, lost sync between frames; a flip within one changes sound only
TELLS = {
    "wav": ("cut", "drop"),
    "flac": ("cut", "drop", "flip", "zero"),
    "ogg": ("cut", "drop", "flip", "zero"),
    "opus": ("cut", "drop", "flip", "zero"),
    "mp3": ("cut", "drop"),
}


Reader = Callable[[Path], int]
"""Reads a file: path -> samples of audio in it, 0 for what is none."""


@dataclass(frozen=True)
class Sample:
    """A valid file.

    Attributes:
        kind: its format.
        data: its bytes.
        samples: of audio in it, at its own rate; 0 for what is not audio.
        sample_rate: Hz; 0 for what is not audio.
    """

    kind: str
    data: bytes
    samples: int = 0
    sample_rate: int = 0


def make_samples(folder: Path) -> list[Sample]:
    """One or more valid files of each format: 1.5 s of speech, a model, an embedding, tables, units and configs."""
    from voiceae.io import audio

    speech = audio.load(CLIP, 22050).wav[11025 : 11025 + 33075]
    samples = []
    for kind, container, subtype, rate in (
        ("wav", "WAV", "PCM_16", 22050),
        ("wav", "WAV", "FLOAT", 22050),
        ("wav", "WAVEX", "PCM_24", 22050),
        ("flac", "FLAC", "PCM_16", 22050),
        ("ogg", "OGG", "VORBIS", 22050),
        ("opus", "OGG", "OPUS", 24000),
        ("mp3", "MP3", "MPEG_LAYER_III", 22050),
    ):
        encoded = io.BytesIO()
        soundfile.write(encoded, speech, rate, format=container, subtype=subtype)
        path = folder / f"whole.{kind}"
        path.write_bytes(encoded.getvalue())
        samples.append(Sample(kind, encoded.getvalue(), len(audio.read(path).wav), rate))
    samples.append(Sample("m4a", _m4a()))
    embedding = folder / "bob.npz"
    command = [sys.executable, "-m", "voiceae", "embed", str(CLIP), "--out", str(embedding)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    samples.append(Sample("npz", embedding.read_bytes()))
    samples.append(Sample("safetensors", _small_model(folder / "small.safetensors")))
    samples.append(Sample("yaml", (ROOT / "configs/experiment/debug.yaml").read_bytes()))
    rows = "".join(f"a{i}.wav,b{i}.wav;c{i}.wav,out/{i}.wav\n" for i in range(20))
    samples.append(Sample("csv", f"source,target,out\n{rows}".encode()))
    codes = "".join(f"clip{i}\t{' '.join(str(j % 16) for j in range(i, i + 30))}\n" for i in range(6))
    samples.append(
        Sample("units", f"# voiceae units, model 0123456789abcdef, 21.533 a second, fixed\n{codes}".encode())
    )
    samples.append(Sample("json", (ROOT / "voiceae/assets/gender.attribute.json").read_bytes()))
    return samples


def _small_model(path: Path) -> bytes:
    """A model file with every part of a real one."""
    from voiceae.io import modelfile
    from voiceae.specs import AudioSpec
    from voiceae.training.settings import compose

    config = compose(["model=tiny", "data.store=none"])
    model = modelfile.build(config["model"])
    modelfile.save(
        path, model, kind="autoencoder", description=config["model"], spec=AudioSpec(**config["audio"])
    )
    return path.read_bytes()


def _m4a() -> bytes:
    """The boxes of an MP4 file with AAC in it, as far as a reader must look to know what it is."""

    def box(name: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + name + content

    noise = np.random.default_rng(5).integers(0, 256, 8000, np.uint8).tobytes()
    return (
        box(b"ftyp", b"M4A \0\0\2\0isomiso2") + box(b"mdat", noise) + box(b"moov", box(b"mvhd", bytes(100)))
    )


def mutate(sample: Sample, other: Sample, rng: np.random.Generator) -> tuple[str, bytes]:
    """What was done, and the result: `cut`, `drop`, `flip`, `zero`, `insert`, `repeat` or `splice`."""
    data, size = sample.data, len(sample.data)
    what = str(rng.choice(["cut", "drop", "flip", "flip", "zero", "insert", "repeat", "splice"]))
    # Half of the places lie in the first 200 bytes, where the headers are.
    start = int(rng.integers(0, min(size, 200) if rng.random() < 0.5 else size))
    length = int(min(size - start, 2 ** rng.uniform(0, 12)))
    if what == "cut":
        return what, data[:start]
    if what == "drop":
        return what, data[:start] + data[start + length :]
    if what == "zero":
        return what, data[:start] + bytes(length) + data[start + length :]
    if what == "insert":
        return what, data[:start] + rng.bytes(length) + data[start:]
    if what == "repeat":
        return what, data[: start + length] + data[start:]
    if what == "splice":
        return what, data[:start] + other.data[int(rng.integers(0, len(other.data))) :]
    flipped = bytearray(data)
    for place in start + rng.integers(0, max(1, length), int(rng.integers(1, 9))):
        flipped[min(int(place), size - 1)] ^= 1 << int(rng.integers(0, 8))
    return what, bytes(flipped)


def readers(folder: Path) -> dict[str, Reader]:
    """By format, the function that reads such a file: path -> samples of audio, 0 for what is none."""
    from voiceae.conversion.batch import read_pair_rows
    from voiceae.conversion.embedding_files import read_stored
    from voiceae.io import audio, modelfile
    from voiceae.latent.speakers.attributes import Attribute
    from voiceae.latent.units import read_units
    from voiceae.training.settings import Settings, compose

    def sound(path: Path) -> int:
        return len(audio.read(path).wav)

    def config(path: Path) -> int:
        Settings.read(compose(_experiment(path, folder)))
        return 0

    def nothing(function: Callable[[Path], object]) -> Reader:
        return lambda path: (function(path), 0)[1]

    reading = dict.fromkeys(("wav", "flac", "ogg", "opus", "mp3", "m4a"), sound)
    return reading | {
        "npz": nothing(lambda path: read_stored(str(path))),
        "safetensors": nothing(lambda path: modelfile.load(path, kind="autoencoder")),
        "yaml": config,
        "csv": nothing(lambda path: read_pair_rows(path, ("source", "target", "out"))),
        "units": nothing(read_units),
        "json": nothing(Attribute.read),
    }


def _experiment(path: Path, folder: Path) -> list[str]:
    """Hydra's overrides that choose an experiment of one's own: here the input."""
    place = folder / "search/experiment"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place / "fuzzed.yaml")
    return [f"hydra.searchpath=[file://{place.parent}]", "experiment=fuzzed", f"data.store={folder}/none"]


def attempt(read: Reader, path: Path, sample: Sample, what: str) -> tuple[str, str]:
    """Verdict on one input, and the message where there is one."""
    from voiceae.errors import VoiceAEError

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            samples = read(path)
        except VoiceAEError as error:
            return ("refused" if _one_line(str(error)) else "line"), str(error)
        except BaseException as error:
            return "traceback", f"{type(error).__name__}: {error}"
    messages = [str(each.message) for each in said if issubclass(each.category, UserWarning)]
    if not all(map(_one_line, messages)):
        return "line", repr(messages)
    missing = sample.samples - samples
    # A file whose first frames are gone, the one that counts the others among them, is a shorter file.
    tells = what in TELLS.get(sample.kind, ()) and (sample.kind != "mp3" or _COUNT in path.read_bytes())
    if not messages and tells and missing > LOST_SECONDS * sample.sample_rate:
        return "lost", f"{missing} of {sample.samples} samples"
    return ("warned" if messages else "read"), "; ".join(messages)


def _one_line(text: str) -> bool:
    return bool(text.strip()) and "\n" not in text and all(c.isprintable() for c in text)


def command_line(path: Path, kind: str, folder: Path) -> tuple[str, str]:
    """The same input through a command: exit status, one line, nothing left behind."""
    place = Path(tempfile.mkdtemp(dir=folder))
    arguments = {
        "npz": ["convert", str(CLIP), "--target", str(path), "--out", "o.wav"],
        "safetensors": ["info", str(path)],
        "csv": ["convert", "--pairs", str(path), "--root", str(folder), "--out-dir", "o"],
        "units": ["units", "decode", str(path), "--speaker", str(CLIP), "--out", "o.wav"],
        "json": ["convert", str(CLIP), "--target", str(CLIP), "--add", f"{path}:+0.5", "--out", "o.wav"],
        "yaml": ["train", *_experiment(path, folder)],
    }.get(kind, ["convert", str(path), "--target", str(CLIP), "--out", "o.wav"])
    done = subprocess.run(
        [sys.executable, "-m", "voiceae", *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=WALL_SECONDS,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    left = sorted(str(each.relative_to(place)) for each in place.rglob("*") if each.is_file())
    shutil.rmtree(place)
    if done.returncode < 0:
        return "crash", f"signal {-done.returncode}"
    if done.returncode not in (0, 1, 2) or "Traceback" in done.stderr:
        return "traceback", done.stderr[-400:]
    if done.returncode and left:
        return "half", f"{left}"
    lines = [
        line for line in done.stderr.splitlines() if not line.startswith(("voiceae: warning", "warning"))
    ]
    if done.returncode == 1 and kind != "csv" and len(lines) != 1:
        return "line", done.stderr[-400:]
    return ("refused" if done.returncode else "read"), done.stderr.strip()[:200]


def work(options: argparse.Namespace) -> None:
    """Go through the inputs from `--first` on, announcing each on standard output before it is tried."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(options.out) / "work"
    samples = [
        Sample(entry["kind"], (folder / entry["file"]).read_bytes(), entry["samples"], entry["sample_rate"])
        for entry in json.loads((folder / "samples.json").read_text())
    ]
    read = readers(folder)
    decoder_lines = (folder / "stderr").open(
        "wb", buffering=0
    )  # libraries in C write to the descriptor itself
    os.dup2(decoder_lines.fileno(), 2)
    for number in range(options.first, options.count):
        rng = np.random.default_rng((options.seed, number))
        sample = samples[number % len(samples)]
        what, data = mutate(sample, samples[int(rng.integers(len(samples)))], rng)
        suffix = {"units": "txt"}.get(sample.kind, sample.kind)
        path = folder / f"input.{suffix}"
        path.write_bytes(data)
        print(json.dumps({"begin": number, "kind": sample.kind, "what": what, "file": path.name}), flush=True)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # kills the process by SIGPROF, wherever it is
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        verdict, message = attempt(read[sample.kind], path, sample, what)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if (written := os.lseek(2, 0, os.SEEK_END)) and verdict not in FAILURES:
            verdict, message = "line", (folder / "stderr").read_bytes()[:written].decode(errors="replace")
        os.ftruncate(2, 0)
        if verdict not in FAILURES and number // len(samples) % COMMAND_EVERY == 0:
            verdict, said = command_line(path, sample.kind, folder)
            message = said if verdict in FAILURES else message
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps({"end": number, "verdict": verdict, "message": message[:300]}), flush=True)


def run(options: argparse.Namespace) -> int:
    """Keep a worker at it until all inputs were tried; write the counts after each of its deaths and at the end."""
    out = Path(options.out)
    folder, failures = out / "work", out / "failures"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(failures, ignore_errors=True)
    folder.mkdir(parents=True)
    entries = []
    for place, sample in enumerate(make_samples(folder)):
        (folder / f"sample{place}").write_bytes(sample.data)
        entries.append(
            {
                "file": f"sample{place}",
                "kind": sample.kind,
                "samples": sample.samples,
                "sample_rate": sample.sample_rate,
            }
        )
    (folder / "samples.json").write_text(json.dumps(entries))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    failed: list[dict[str, object]] = []
    first = 0
    while first < options.count:
        first = _one_worker(options, first, counts, failed, failures)
        report = {
            "inputs": first,
            "seed": options.seed,
            "counts": {kind: dict(sorted(each.items())) for kind, each in sorted(counts.items())},
            "totals": dict(sum(counts.values(), collections.Counter())),
            "failed": failed[:200],
        }
        (out / "fuzz.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["totals"]))
    shutil.rmtree(folder)
    return 1 if failed else 0


def _one_worker(
    options: argparse.Namespace,
    first: int,
    counts: dict[str, collections.Counter[str]],
    failed: list[dict[str, object]],
    failures: Path,
) -> int:
    """Watch one worker until it ends or dies: -> the number of the next input."""
    command = [sys.executable, __file__, "--worker", "--first", str(first), "--count", str(options.count)]
    command += ["--seed", str(options.seed), "--out", str(options.out)]
    now: dict[str, object] = {}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stdout is not None

        def judge(verdict: str, message: str) -> None:
            counts[str(now["kind"])][verdict] += 1
            if verdict in FAILURES:
                failed.append({**now, "verdict": verdict, "message": message})
                failures.mkdir(parents=True, exist_ok=True)
                path = Path(options.out) / "work" / str(now["file"])
                shutil.copy(path, failures / f"{now['begin']}-{verdict}{path.suffix}")

        for line in worker.stdout:
            event = json.loads(line)
            if "begin" in event:
                now = event
            else:
                judge(event["verdict"], event["message"])
                first = event["end"] + 1
    if worker.returncode == 0:
        return options.count
    if now.get("begin") != first:
        raise SystemExit(f"fuzz: the worker ended by itself, with {worker.returncode}, after {now}")
    late = worker.returncode in (-signal.SIGPROF, -signal.SIGALRM)
    judge("hang" if late else "crash", f"ended by signal {-worker.returncode}")
    return first + 1


def main() -> int:
    """Arguments; the same file is the worker that it starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="folder of the results")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return 0
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
