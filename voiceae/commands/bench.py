"""`voiceae bench`: how fast every stage runs here, beside its target and beside other libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from voiceae.commands import options
from voiceae.commands.options import require_files, write_json

if TYPE_CHECKING:
    from voiceae.benchmark.measuring import Figure

EPILOG = """\b
Examples:
  voiceae bench
  voiceae bench matrix features griffinlim model
  voiceae bench prepare train --corpus speakers/
  voiceae bench lengths --lengths 5,60,600,3600 --plot lengths.png
  voiceae bench batch --files 10000
  voiceae bench --threads all --out bench.json

Times are medians of interleaved runs, with the fastest and the slowest in brackets. The machine's
own rate (a float32 matrix product on as many threads) is taken in turn with them and stands behind '@'."""


@click.command("bench", epilog=EPILOG)
@click.argument("names", nargs=-1)
@options.model
@click.option(
    "--corpus",
    type=options.PATH,
    metavar="DIR",
    help="Folder of speakers, to prepare and train on; a synthetic pulse train without one.",
)
@click.option("--hifigan", type=options.PATH, metavar="DIR", help="A HiFi-GAN checkpoint.")
@click.option("--runs", default=7, type=click.IntRange(1), help="Runs of every timing.")
@click.option(
    "--threads",
    type=click.Choice(["one", "all", "both"]),
    default="one",
    help="Threads of torch: one, as many as there are processors, or one after the other.",
)
@click.option("--lengths", default="5,60", metavar="S,S,...", help="Seconds, for the stage lengths.")
@click.option("--files", default=64, type=click.IntRange(8), help="Files, for the stage batch.")
@click.option("--out", type=options.PATH, metavar="JSON", help="Also write the figures here.")
@click.option("--plot", type=options.PATH, metavar="PNG", help="Draw cost and memory by length.")
@options.force
def command(
    names: tuple[str, ...],
    model: str,
    corpus: Path | None,
    hifigan: Path | None,
    runs: int,
    threads: str,
    lengths: str,
    files: int,
    out: Path | None,
    plot: Path | None,
    force: bool,
) -> int:
    """Measure how fast every stage runs here; NAMES chooses some of the stages."""
    # For the processes that stages start, and before numpy reads them; torch's own number is set by `measure`.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"

    from voiceae.benchmark.measuring import Bench
    from voiceae.benchmark.stages import STAGES, draw_lengths, measure
    from voiceae.hardware import available_cpus

    unknown = sorted(set(names) - set(STAGES))
    if unknown:
        raise click.UsageError(f"{', '.join(unknown)}: no such stage; there are {', '.join(STAGES)}")
    require_files([out, plot], force)
    counts = {"one": [1], "all": [available_cpus()], "both": sorted({1, available_cpus()})}[threads]
    bench = Bench(
        model=model, corpus=corpus, hifigan=hifigan, runs=runs, lengths=_seconds(lengths), files=files
    )
    found = []
    try:
        for figure in measure(bench, names or tuple(STAGES), counts):
            click.echo(_line(figure))
            found.append(figure)
    finally:
        bench.close()
    if out:
        write_json(out, [vars(each) for each in found])
    if plot:
        draw_lengths(found, plot)
    missing = any(figure.value is None and not figure.skipped for figure in found)
    return 1 if missing and names else 0  # without names it measures what it can


def _seconds(text: str) -> tuple[float, ...]:
    try:
        values = tuple(sorted({float(each) for each in text.split(",")}))
    except ValueError:
        values = (0.0,)
    if not all(0.1 <= value <= 36_000 for value in values):
        raise click.UsageError(f"--lengths {text}: give seconds from 0.1 to 36000, such as 5,60,600")
    return values


def _line(figure: Figure) -> str:
    value = "-" if figure.value is None else f"{figure.value:,.4g} {figure.unit}"
    spread = f"[{figure.low:,.4g}, {figure.high:,.4g}]" if figure.low != figure.high else ""
    name = figure.name + (f", {figure.threads} threads" if figure.threads > 1 else "")
    # None: the stage has no target to reach, so its figure is for information.
    verdict = {True: "reached", False: "MISSED", None: ""}[figure.reached]
    machine = f"@ {figure.machine_gflops:,.0f} GFLOP/s  " if figure.machine_gflops else ""
    return f"{name:46}{value:>24} {spread:22} {figure.bar:20}{verdict:9}{machine}{figure.note}".rstrip()
