"""`voiceae info`: what a model file says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from voiceae.errors import printable

if TYPE_CHECKING:
    from voiceae.modelfile import ModelHeader

EPILOG = """\b
Examples:
  voiceae info base
  voiceae info runs/vctk/model.safetensors
  voiceae info base --json"""


@click.command("info", epilog=EPILOG)
@click.argument("model", default="base")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
def command(model: str, as_json: bool) -> None:
    """Show what MODEL, a bundled name or a path, says of itself: its parts, mel contract and provenance."""
    from voiceae.inference.bundled import find_model
    from voiceae.modelfile import read_header

    path = find_model(model)
    header = read_header(path)
    if as_json:
        click.echo(json.dumps(_as_dict(header), indent=2))
        return
    for line in [f"{path}", *_lines(header)]:
        click.echo(printable(line.replace("\n", " ")))


def _as_dict(header: ModelHeader) -> dict[str, Any]:
    return {
        "kind": header.kind,
        "parameters": header.parameters,
        "description": header.description,
        "spec": header.spec.to_dict(),
        "fingerprint": header.spec.fingerprint,
        "weights": header.checksum,
        "extra": header.extra,
    }


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
