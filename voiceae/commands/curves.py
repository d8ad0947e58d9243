"""`voiceae curves`: compare the training curves of two runs."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import require_files

EPILOG = """\b
Examples:
  voiceae curves runs/mine/metrics.jsonl --compare runs/reference/metrics.jsonl
  voiceae curves runs/mine/metrics.jsonl --compare reference.jsonl --plot curves.png
  voiceae curves runs/mine/metrics.jsonl --compare reference.jsonl --by frames

A figure departs where for three points it is off, smoothed, by more than 5 % and by more
than four times the reference's own noise. Speed is the machine's and is not compared."""


@click.command("curves", epilog=EPILOG)
@click.argument("run", type=options.PATH, metavar="RUN.jsonl")
@click.option(
    "--compare",
    "reference",
    required=True,
    type=options.PATH,
    metavar="REF.jsonl",
    help="The run to compare with.",
)
@click.option("--plot", type=options.PATH, metavar="PNG", help="Draw both.")
@click.option(
    "--by",
    default="step",
    type=click.Choice(["step", "frames", "seconds"]),
    help="Horizontal axis on which the runs are compared.",
)
@options.force
def command(run: Path, reference: Path, plot: Path | None, by: str, force: bool) -> int:
    """Print where the curves of a training run depart from a reference, and draw both."""
    from voiceae.evaluation.training_curves import compare_curves, only_in_one, read_curves, save_plots

    require_files([plot], force)
    ours, theirs = read_curves(run, by), read_curves(reference, by)
    compared = compare_curves(ours, theirs)
    for each in compared:
        where = "follows" if each.departs is None else f"departs at {by} {each.departs:.10g}"
        click.echo(
            f"{each.name:40}{where:28}{each.last:+9.1%} at {by} {each.end:.10g}, at most {each.largest:+.1%}"
        )
    for what, names in zip(("the run", "the reference"), only_in_one(ours, theirs), strict=True):
        if names:
            click.echo(f"only {what} has {', '.join(names)}")
    departed = sum(each.departs is not None for each in compared)
    click.echo(f"{departed} of {len(compared)} figures depart")
    if plot:  # of all figures, also of those that follow
        save_plots(compared, plot, ("run", "reference"), by)
    return 0  # that curves depart is a finding, not a failure
