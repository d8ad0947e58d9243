"""`voiceae convert`: one recording, a folder of them, or a table of pairs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from voiceae.commands import options
from voiceae.commands.options import progress, report_failures

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure

EPILOG = """\b
Examples:
  voiceae convert alice.wav --target bob.wav --out alice-as-bob.wav
  voiceae convert alice.wav --target bob1.wav --target bob2.flac --out alice-as-bob.wav
  voiceae convert alice.wav --target speakers.npz:bob --out alice-as-bob.wav
  voiceae convert alice.wav --target bob --add gender:+0.5 --out shifted.wav
  voiceae convert recordings/ --target bob.wav --out-dir as-bob/
  voiceae convert --pairs pairs.csv --root recordings/ --out-dir converted/ --jobs 4

Of a folder, every recording at any depth is converted, under the same name.
A table of pairs has the columns source, target and out (others are ignored);
several targets are joined by ';'. What could not be converted is listed at the
end. Both are shared by processes of one thread each; the results are the same
whatever --jobs says.

A source of more than five minutes is converted in chunks, in memory that does
not depend on its length. The result is as long and as loud as the source, at
the model's sample rate."""


@click.command("convert", epilog=EPILOG)
@click.argument("source", required=False)
@options.targets
@click.option(
    "--add",
    "steps",
    multiple=True,
    metavar="ATTRIBUTE:AMOUNT",
    help="Shift the target voice along an attribute direction (voiceae attribute), as in gender:+0.5.",
)
@options.bank
@click.option("--out", type=options.PATH, metavar="FILE", help="Result; its suffix is its format.")
@click.option("--pairs", type=options.PATH, metavar="CSV", help="Table of conversions to do.")
@click.option(
    "--root",
    type=options.PATH,
    metavar="DIR",
    help="Folder that the table's sources and targets are in; the table's own by default.",
)
@click.option(
    "--out-dir", type=options.PATH, metavar="DIR", help="Folder for the results of a folder or table."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Processes for a folder or table; by default one a core, fewer for less than 8 files each, one on a GPU.",
)
@options.voice()
@click.option(
    "--runtime",
    default="auto",
    metavar="auto|onnx|torch",
    help="What computes: onnxruntime starts faster; auto takes it for up to five minutes of an exported model.",
)
@options.force
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
    choice: options.VoiceChoice,
    runtime: str,
    force: bool,
) -> int:
    """Convert SOURCE, a recording or a folder of them, to the voice of the target."""
    # numpy's matrix products are small here, and starting its threads takes longer; it reads this when imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from voiceae.conversion.backends.select import select_backend
    from voiceae.conversion.batch import (
        BatchFolders,
        VoiceLoader,
        convert_pairs,
        folder_rows,
        read_pair_rows,
        require_out,
    )
    from voiceae.io.filesystem import is_dir
    from voiceae.latent.speakers.target_selection import resolve_target, targets_as_files

    loader = VoiceLoader(**vars(choice))
    folder = source is not None and pairs is None and is_dir(source)
    # Only one short recording gains from onnxruntime's quick start; a batch loads its model once.
    alone = source is not None and pairs is None and not folder
    loader = select_backend(loader, runtime, (str(source), *targets) if alone else None)
    named = {"--target": targets, "--add": steps, "--bank": bank}

    if pairs is not None:
        _refuse_beside("--pairs", {"SOURCE": source, **named, "--out": out})
        if out_dir is None:
            raise click.UsageError("--pairs needs --out-dir")
        rows = read_pair_rows(pairs, ("source", "target", "out"))
        folders = BatchFolders(root=root or pairs.parent, out_dir=out_dir, force=force)
        bar = progress("convert", "pair", len(rows))
        return report_failures(
            convert_pairs(loader, folders, rows, jobs=jobs, progress=bar), len(rows), "pairs"
        )

    if folder:
        _refuse_beside("a folder", {"--root": root, "--out": out})
        if not targets or out_dir is None:
            raise click.UsageError("a folder needs --target and --out-dir")
        folders = BatchFolders(root=Path(str(source)), out_dir=out_dir, force=force)
        closed: list[Failure] = []
        # The processes of a batch know files only, so names of the bank become stored embeddings.
        with targets_as_files(loader, targets, steps, bank) as files:
            rows = folder_rows(folders.root, files, out_dir, closed)
            bar = progress("convert", "file", len(rows))
            failures = [*closed, *convert_pairs(loader, folders, rows, jobs=jobs, progress=bar)]
        return report_failures(failures, len(rows) + len(closed), "files")

    _refuse_beside("SOURCE", {"--root": root, "--out-dir": out_dir, "--jobs": jobs})
    if source is None or not targets or out is None:
        raise click.UsageError("give SOURCE, --target and --out, or --pairs and --out-dir")
    require_out(out, force)
    voice = loader.load()
    target = resolve_target(voice, targets, steps, bank)
    voice.convert_file(source, target, out, force=force, progress=True)
    return 0


def _refuse_beside(mode: str, values: dict[str, object]) -> None:
    given = [name for name, value in values.items() if value]
    if given:
        raise click.UsageError(f"{' and '.join(given)} cannot be used together with {mode}")
