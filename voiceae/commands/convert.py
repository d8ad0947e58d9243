"""`voiceae convert`: one recording, a folder of them, or a table of pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from voiceae.commands.options import PATH

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure, Folders, PairRow, Parts

Wanted: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], Path | None]
"""Targets, attributes to lead them along, and the bank that they may be names of."""

EPILOG = """\b
Examples:
  voiceae convert alice.wav --target bob.wav --out alice-as-bob.wav
  voiceae convert alice.wav --target bob1.wav --target bob2.flac --out alice-as-bob.wav
  voiceae convert alice.wav --target speakers.npz:bob --out alice-as-bob.wav
  voiceae convert alice.wav --target bob --add gender:+0.5 --out shifted.wav
  voiceae convert recordings/ --target bob.wav --out-dir as-bob/
  voiceae convert --pairs pairs.csv --root recordings/ --out-dir converted/ --jobs 4
\b
Of a folder, every recording at any depth is converted, under the same name.
A table of pairs has the columns source, target and out (others are ignored);
several targets are joined by ';'. What could not be converted is listed at the
end. Both are shared by processes of one thread each; the results are the same
whatever --jobs says.
\b
The result is as long and as loud as the source, at the model's sample rate."""


@click.command("convert", epilog=EPILOG)
@click.argument("source", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="FILE",
    help="Recording of the voice to speak in, at least 0.5 s, a stored embedding (FILE.npz:NAME), or a name of the "
    "bank; given several times, the voices are averaged.",
)
@click.option(
    "--add",
    "steps",
    multiple=True,
    metavar="ATTRIBUTE:AMOUNT",
    help="Lead the voice along a fitted attribute (voiceae attribute), as in gender:+0.5.",
)
@click.option(
    "--bank",
    type=PATH,
    metavar="FILE",
    help="Bank of speakers (voiceae speakers); by default $VOICEAE_BANK, or the model's own among the user's data.",
)
@click.option("--out", type=PATH, metavar="FILE", help="Result; its suffix is its format.")
@click.option("--pairs", type=PATH, metavar="CSV", help="Table of conversions to do.")
@click.option(
    "--root",
    type=PATH,
    metavar="DIR",
    help="Folder that the table's sources and targets are in; the table's own by default.",
)
@click.option(
    "--out-dir",
    type=PATH,
    metavar="DIR",
    help="Folder for the results of a folder or table.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Processes for a folder or table; by default one a core, fewer for less than 8 files each, one on a GPU.",
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
@click.option(
    "--runtime",
    default="auto",
    show_default=True,
    metavar="auto|onnx|torch",
    help="What computes: onnxruntime starts faster; auto takes it for up to five minutes of an exported model.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def command(
    source: str | None,
    targets: tuple[str, ...],
    steps: tuple[str, ...],
    bank: Path | None,
    out: Path | None,
    pairs: Path | None,
    root: Path | None,
    out_dir: Path | None,
    jobs: int | None,
    model: str,
    vocoder: str,
    device: str,
    runtime: str,
    force: bool,
) -> int:
    """Speak SOURCE, a recording or a folder of them, in the voice of the target."""
    # numpy's matrix products are small here, and starting its threads takes longer; it reads this when imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from voiceae.conversion.backends.select import select_backend
    from voiceae.conversion.batch import Folders, Parts
    from voiceae.io.filesystem import is_dir

    parts = Parts(model=model, vocoder=vocoder, device=device)
    alone = source is not None and pairs is None and not is_dir(source)
    parts = select_backend(parts, runtime, (str(source), *targets) if alone else None)
    if pairs is not None:
        _refuse_beside(
            "--pairs", {"SOURCE": source, "--target": targets, "--add": steps, "--bank": bank, "--out": out}
        )
        if out_dir is None:
            raise click.UsageError("--pairs needs --out-dir")
        folders = Folders(root=root or pairs.parent, out_dir=out_dir, force=force)
        return _convert_table(pairs, parts, folders, jobs)
    if source is not None and is_dir(source):
        _refuse_beside("a folder", {"--root": root, "--out": out})
        if not targets or out_dir is None:
            raise click.UsageError("a folder needs --target and --out-dir")
        folders = Folders(root=Path(source), out_dir=out_dir, force=force)
        return _convert_folder((targets, steps, bank), parts, folders, jobs)
    _refuse_beside("SOURCE", {"--root": root, "--out-dir": out_dir, "--jobs": jobs})
    if source is None or not targets or out is None:
        raise click.UsageError("give SOURCE, --target and --out, or --pairs and --out-dir")
    return _convert_one(source, (targets, steps, bank), out, parts, force)


def _refuse_beside(mode: str, values: dict[str, object]) -> None:
    given = [name for name, value in values.items() if value]
    if given:
        raise click.UsageError(f"{' and '.join(given)} cannot be used together with {mode}")


def _convert_one(source: str, wanted: Wanted, out: Path, parts: Parts, force: bool) -> int:
    from voiceae.conversion.batch import require_out
    from voiceae.latent.target_names import resolve_target

    require_out(out, force)
    voice = parts.load()
    target = resolve_target(voice, *wanted)
    voice.convert_file(source, target, out, force=force, progress=True)
    return 0


def _convert_table(table: Path, parts: Parts, folders: Folders, jobs: int | None) -> int:
    from voiceae.conversion.batch import read_pair_rows

    pairs = read_pair_rows(table, ("source", "target", "out"))
    return _convert_all(pairs, "pairs", parts, folders, jobs)


def _convert_folder(wanted: Wanted, parts: Parts, folders: Folders, jobs: int | None) -> int:
    from voiceae.conversion.batch import folder_rows
    from voiceae.latent.target_names import as_files

    with as_files(parts, *wanted) as targets:
        closed: list[Failure] = []
        pairs = folder_rows(folders.root, targets, folders.out_dir, closed)
        return _convert_all(pairs, "files", parts, folders, jobs, closed)


def _convert_all(
    pairs: list[PairRow],
    what: str,
    parts: Parts,
    folders: Folders,
    jobs: int | None,
    closed: Sequence[Failure] = (),
) -> int:
    from tqdm import tqdm

    from voiceae.conversion.workers import convert_pairs

    def watch(results: Any) -> Any:
        return tqdm(results, desc="convert", unit=what.removesuffix("s"), total=len(pairs))

    failures = [*closed, *convert_pairs(parts, folders, pairs, jobs=jobs, watch=watch)]
    return report(failures, len(pairs) + len(closed), what)


def report(failures: Sequence[Failure], total: int, what: str) -> int:
    """Say on standard error what could not be used, one line each: exit code."""
    for failure in failures:
        click.echo(f"voiceae: {failure.where}: {failure.reason}", err=True)
    if failures:
        click.echo(f"voiceae: error: {len(failures)} of {total} {what} could not be used", err=True)
    return 1 if failures else 0
