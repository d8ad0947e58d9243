"""`voiceae attribute`: fit attribute directions in the speaker space."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import progress, report_failures, require_files

EPILOG = """\b
Examples:
  voiceae attribute fit --labels speakers.csv --column gender --out gender.json
  voiceae attribute fit --labels speakers.csv --column age --at 16 --recordings store/ --out adult.json
  voiceae convert alice.wav --target bob.wav --add gender.json:+0.5 --out shifted.wav

The direction is the difference of the two classes' mean speaker embeddings; the
differences of their pitch and mel statistics go with it. An amount of 1 leads
from the mean of one class to that of the other. Its accuracy is that on speakers
held out of the fit, in five folds, the mean of both classes (.5 is chance)."""


@click.group("attribute", epilog=EPILOG)
def command() -> None:
    """Fit attribute directions in the speaker space, such as gender, to shift voices along."""


@command.command("fit", epilog=EPILOG)
@click.option(
    "--labels", required=True, type=options.PATH, metavar="CSV", help="Table of speakers, with a header."
)
@click.option("--column", required=True, help="Column that the attribute is read from.")
@click.option("--key", default="speaker", help="Column of the speakers' names.")
@click.option("--positive", metavar="VALUE", help="Value that a positive amount leads to.")
@click.option("--at", type=float, metavar="NUMBER", help="Split numbers: from here on is the positive side.")
@click.option(
    "--recordings",
    type=options.PATH,
    metavar="DIR",
    help="Folder with a subfolder for each speaker, at any depth, or a feature store; "
    "the folder of the labels by default.",
)
@options.clips(4)
@options.seed
@click.option("--out", required=True, type=options.PATH, metavar="JSON", help="Attribute to write.")
@options.voice(sound=False)
@options.force
def fit(
    labels: Path,
    column: str,
    key: str,
    positive: str | None,
    at: float | None,
    recordings: Path | None,
    clips: int,
    seed: int,
    out: Path,
    choice: options.VoiceChoice,
    force: bool,
) -> int:
    """Fit the direction between two classes of speakers."""
    import numpy as np

    from voiceae.latent.recordings import draw_recordings, find_clips, profile_clips
    from voiceae.latent.speakers.attributes import fit_attribute, read_labels, two_classes

    # Labels first: a wrong column is said before the model is loaded.
    classes = two_classes(read_labels(labels, column, key), at=at, positive=positive)
    require_files([out], force)
    voice = choice.load()
    clips_of = find_clips(voice, recordings or labels.absolute().parent, set(classes.members))
    drawn = draw_recordings(clips_of, clips, np.random.default_rng(seed))
    profiles, failures = profile_clips(voice, drawn, progress("embed", "clip"))
    fitted = fit_attribute(out.name.split(".")[0], profiles, classes, voice.fingerprint, seed=seed)
    fitted.save(out, force=force)
    held = fitted.held_out
    pitch = "" if held.pitch_accuracy is None else f" (pitch alone: {held.pitch_accuracy:.1%})"
    click.echo(
        f"{out}: {held.accuracy:.1%} of held-out speakers classified{pitch}; "
        f"- is {fitted.negative} ({held.negative} speakers), + is {fitted.positive} ({held.positive})"
    )
    return report_failures(failures, len(drawn), "clips")
