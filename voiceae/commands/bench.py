"""`voiceae bench`: how fast every stage runs here, beside what it should reach and beside yardsticks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from voiceae.metrics.speed import Figure

EPILOG = """\b
Examples:
  voiceae bench
  voiceae bench matrix features griffinlim model
  voiceae bench prepare train --corpus speakers/
  voiceae bench --hifigan hifigan-v3/ --out bench.json
\b
Everything runs on one thread. Times are medians of interleaved runs, with the fastest and the slowest."""


@click.command("bench", epilog=EPILOG)
@click.argument("names", nargs=-1)
@click.option(
    "--model", default="base", show_default=True, metavar="NAME|PATH", help="Model to convert with."
)
@click.option(
    "--corpus", type=click.Path(path_type=Path), metavar="DIR", help="A folder of speakers, to prepare."
)
@click.option("--hifigan", type=click.Path(path_type=Path), metavar="DIR", help="A HiFi-GAN checkpoint.")
@click.option("--runs", default=7, show_default=True, type=click.IntRange(1), help="Runs of every timing.")
@click.option("--out", type=click.Path(path_type=Path), metavar="JSON", help="Also write the figures here.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def command(
    names: tuple[str, ...],
    model: str,
    corpus: Path | None,
    hifigan: Path | None,
    runs: int,
    out: Path | None,
    force: bool,
) -> int:
    """Print how fast every stage runs here; NAMES chooses some of the stages."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    from voiceae.errors import VoiceAEError
    from voiceae.files import atomic_path, require_new
    from voiceae.inference.figures import FIGURES, Bench
    from voiceae.metrics.speed import Figure

    unknown = sorted(set(names) - set(FIGURES))
    if unknown:
        raise click.UsageError(f"{', '.join(unknown)}: no such stage; there are {', '.join(FIGURES)}")
    if out:
        require_new(out, force)
    torch.set_num_threads(1)
    bench, found = Bench(model=model, corpus=corpus, hifigan=hifigan, runs=runs), []
    missing = False
    for name in names or FIGURES:
        try:
            figures = FIGURES[name](bench)
        except (VoiceAEError, ImportError, OSError) as error:  # one that cannot run must not hide the others
            missing = True
            figures = [Figure(name=name, value=None, unit="", note=f"not measured: {error}")]
        for figure in figures:
            click.echo(_line(figure))
        found += figures
    if out:
        with atomic_path(out) as temporary:
            temporary.write_text(
                json.dumps([vars(figure) for figure in found], indent=1) + "\n", encoding="utf-8"
            )
    return 1 if missing and names else 0  # without names it measures what it can


def _line(figure: Figure) -> str:
    value = "-" if figure.value is None else f"{figure.value:,.4g} {figure.unit}"
    verdict = {True: "reached", False: "MISSED", None: ""}[figure.reached]
    return f"{figure.name:44}{value:>24}  {figure.bar:28}{verdict:9}{figure.note}"
