"""`voiceae info`: the header of a model file, and how good a recording is as a target."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.errors import printable

if TYPE_CHECKING:
    from voiceae.io.modelfile import ModelHeader

EPILOG = """\b
Examples:
  voiceae info base
  voiceae info runs/vctk/model.safetensors
  voiceae info bob.wav
  voiceae info base --json

Of a recording, the format and what a conversion to its voice depends on: noise,
clipping, bandwidth, pitch, and whether its parts sound like one voice."""


@click.command("info", epilog=EPILOG)
@click.argument("model", default="base")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
def command(model: str, as_json: bool) -> None:
    """Show the header of MODEL, a bundled name or a path; or how good a recording is as a target."""
    if _is_recording(model):
        _show_clip(Path(model), as_json)
        return
    from voiceae.assets import find_model
    from voiceae.io.modelfile import read_header

    path = find_model(model)
    header = read_header(path)
    if as_json:
        facts = {"kind": header.kind, "parameters": header.parameters, "description": header.description}
        facts |= {"spec": header.spec.to_dict(), "fingerprint": header.spec.fingerprint}
        click.echo(json.dumps({**facts, "weights": header.checksum, "extra": header.extra}, indent=2))
        return
    # Strings of a file that anybody may have written must not reach a terminal as they are.
    for line in [f"{path}", *_lines(header)]:
        click.echo(printable(line.replace("\n", " ")))


def _is_recording(name: str) -> bool:
    """By its suffix, or else by what is in it."""
    from voiceae.errors import AudioError
    from voiceae.io.audio import info
    from voiceae.io.writer import SUFFIXES

    suffix = Path(name).suffix.lower()
    if suffix in (*SUFFIXES, ".safetensors", ""):
        return suffix in SUFFIXES
    try:
        return bool(info(name))
    except AudioError:
        return False


def _show_clip(path: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from voiceae.conversion.backends.select import select_backend
    from voiceae.conversion.batch import VoiceLoader
    from voiceae.io.audio import info

    # On the CPU, and by onnxruntime where it is there: a recording is judged before torch would have been imported.
    voice = select_backend(VoiceLoader(device="cpu"), "auto", (str(path), str(path))).load()
    quality = voice.quality(path)
    header = info(path)
    facts = {name: getattr(header, name) for name in ("container", "codec", "sample_rate", "channels")}
    # JSON has no NaN: what could not be measured is null.
    numbers = {name: None if value != value else value for name, value in asdict(quality).items()}
    if as_json:
        click.echo(json.dumps({"path": str(path), **facts, **numbers, "faults": quality.faults}, indent=2))
        return
    rows = {
        "format": f"{header.container}, {header.codec}",
        "sample rate": f"{header.sample_rate:,} Hz",
        "channels": str(header.channels),
        "duration": f"{quality.seconds:.2f} s, of it {quality.active_seconds:.2f} s of speech",
        "level": f"{quality.level_dbfs:.1f} dBFS",
        "noise": f"{quality.signal_to_noise_db:.0f} dB below the speech",
        "voiced": f"{quality.voiced_share:.0%} of the speech",
        "pitch": "none" if numbers["fundamental_hz"] is None else f"{quality.fundamental_hz:.0f} Hz",
        "near peak": f"{quality.peak_share:.2%} of the samples",
        "bandwidth": f"{quality.bandwidth_hz:,.0f} Hz",
        "one voice": "too short to tell" if quality.agreement is None else f"{quality.agreement:.2f} alike",
        "as a target": ", ".join(quality.faults) or "good",
    }
    for line in [f"{path}", *(f"{name:12}{value}" for name, value in rows.items())]:
        click.echo(printable(line))


def _lines(header: ModelHeader) -> Iterator[str]:
    yield f"{'kind':12}{header.kind}"
    yield f"{'parameters':12}{header.parameters:,}"
    yield "parts"
    yield from _parts(header.description, 1)
    yield f"{'mel':12}{header.spec.fingerprint}"
    yield from _table(header.spec.to_dict(), 1)
    if header.extra:
        yield "provenance"
        yield from _table(header.extra, 1)


def _parts(description: Mapping[str, Any], depth: int) -> Iterator[str]:
    """The tree of classes, each with its plain arguments on its own line."""
    plain = {name: value for name, value in description.items() if not isinstance(value, Mapping)}
    target = plain.pop("_target_", "")
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in plain.items())
    yield f"{'  ' * depth}{target}({arguments})"
    for name, value in description.items():
        if isinstance(value, Mapping):
            yield f"{'  ' * (depth + 1)}{name}:"
            yield from _parts(value, depth + 2)


def _table(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    width = max(map(len, values)) + 2
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield f"{'  ' * depth}{name}"
            yield from _table(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name:{width}}{_short(value)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
