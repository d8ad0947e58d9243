"""`voiceae convert`: one recording, or a table of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from voiceae.inference.batch import Failure
    from voiceae.inference.voice import Voice

EPILOG = """\b
Examples:
  voiceae convert alice.wav --target bob.wav --out alice-as-bob.wav
  voiceae convert alice.wav --target bob1.wav --target bob2.flac --out alice-as-bob.wav
  voiceae convert alice.wav --target speakers.npz:bob --out alice-as-bob.wav
  voiceae convert --pairs pairs.csv --root recordings/ --out-dir converted/
\b
A table of pairs has the columns source, target and out (others are ignored);
several targets are joined by ';'. Its bad rows are listed at the end.
\b
The result is as long and as loud as the source, at the model's sample rate."""


@click.command("convert", epilog=EPILOG)
@click.argument("source", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="FILE",
    help="Recording of the voice to speak in, at least 0.5 s, or a stored embedding (FILE.npz:NAME); "
    "given several times, the voices are averaged.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Result; its suffix is its format."
)
@click.option("--pairs", type=click.Path(path_type=Path), metavar="CSV", help="Table of conversions to do.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that the table's sources and targets are in; the table's own by default.",
)
@click.option(
    "--out-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the table's results."
)
@click.option("--model", default="base", show_default=True, metavar="NAME|PATH", help="Bundled or own model.")
@click.option(
    "--vocoder",
    default="default",
    show_default=True,
    metavar="NAME|PATH",
    help="griffinlim, a vocoder file or a HiFi-GAN folder.",
)
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Where to compute."
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def command(
    source: str | None,
    targets: tuple[str, ...],
    out: Path | None,
    pairs: Path | None,
    root: Path | None,
    out_dir: Path | None,
    model: str,
    vocoder: str,
    device: str,
    force: bool,
) -> int:
    """Speak SOURCE in the voice of the target."""
    if pairs is None:
        _refuse_beside("SOURCE", {"--root": root, "--out-dir": out_dir})
        if source is None or not targets or out is None:
            raise click.UsageError("give SOURCE, --target and --out, or --pairs and --out-dir")
        return _convert_one(source, targets, out, (model, vocoder, device), force)
    _refuse_beside("--pairs", {"SOURCE": source, "--target": targets, "--out": out})
    if out_dir is None:
        raise click.UsageError("--pairs needs --out-dir")
    return _convert_table(pairs, root or pairs.parent, out_dir, (model, vocoder, device), force)


def _refuse_beside(mode: str, values: dict[str, object]) -> None:
    given = [name for name, value in values.items() if value]
    if given:
        raise click.UsageError(f"{' and '.join(given)} cannot be used together with {mode}")


def _convert_one(
    source: str, targets: tuple[str, ...], out: Path, parts: tuple[str, str, str], force: bool
) -> int:
    from voiceae.audio import io
    from voiceae.inference.batch import require_out

    require_out(out, force)
    voice = _load(parts)
    io.write(out, voice.convert(source, targets, progress=True), force=force)
    return 0


def _convert_table(table: Path, root: Path, out_dir: Path, parts: tuple[str, str, str], force: bool) -> int:
    from tqdm import tqdm

    from voiceae.data.pairs import read_pair_rows
    from voiceae.inference.batch import PairConverter, convert_pairs

    pairs = read_pair_rows(table, ("source", "target", "out"))
    converter = PairConverter(_load(parts), root, out_dir, force)
    failures = convert_pairs(converter, pairs, lambda rows: tqdm(rows, desc="convert", unit="pair"))
    return report(failures, len(pairs), "pairs")


def report(failures: list[Failure], total: int, what: str) -> int:
    """Say on standard error what could not be used, one line each: exit code."""
    for failure in failures:
        click.echo(f"voiceae: {failure.where}: {failure.reason}", err=True)
    if failures:
        click.echo(f"voiceae: error: {len(failures)} of {total} {what} could not be used", err=True)
    return 1 if failures else 0


def _load(parts: tuple[str, str, str]) -> Voice:
    from voiceae.inference.voice import load

    model, vocoder, device = parts
    return load(model, vocoder, device)
