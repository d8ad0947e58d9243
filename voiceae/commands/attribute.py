"""`voiceae attribute`: directions among voices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from voiceae.commands.options import PATH, force_option, model_options

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure
    from voiceae.conversion.speaker_profile import SpeakerProfile
    from voiceae.latent.labels import Classes

EPILOG = """\b
Examples:
  voiceae attribute fit --labels speakers.csv --column gender --out gender.json
  voiceae attribute fit --labels speakers.csv --column age --at 16 --recordings store/ --out adult.json
  voiceae convert alice.wav --target bob.wav --add gender.json:+0.5 --out shifted.wav
\b
The direction is the difference of the two classes' mean speaker vectors; the
differences of their pitch and colour go with it. An amount of 1 leads from the
mean of one class to that of the other. Its accuracy is that on speakers it was
not fitted on, in five folds, the mean of both sides (.5 is chance)."""


@click.group("attribute", epilog=EPILOG)
def command() -> None:
    """Fit directions among voices, such as gender, to move voices along."""


@command.command("fit", epilog=EPILOG)
@click.option("--labels", required=True, type=PATH, metavar="CSV", help="Table of speakers, with a header.")
@click.option("--column", required=True, help="Column that the attribute is read from.")
@click.option("--key", default="speaker", show_default=True, help="Column of the speakers' names.")
@click.option("--positive", metavar="VALUE", help="Value that a positive amount leads to.")
@click.option("--at", type=float, metavar="NUMBER", help="Split numbers: from here on is the positive side.")
@click.option(
    "--recordings",
    type=PATH,
    metavar="DIR",
    help="Folder with a subfolder for each speaker, at any depth, or a feature store; "
    "the folder of the labels by default.",
)
@click.option(
    "--clips", default=4, show_default=True, type=click.IntRange(1), help="Heard of each speaker, at most."
)
@click.option("--seed", default=0, show_default=True, help="Of the clips and the folds.")
@click.option("--out", required=True, type=PATH, metavar="JSON", help="Attribute to write.")
@model_options(vocoder=False)
@force_option
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
    model: str,
    device: str,
    force: bool,
) -> int:
    """Fit a direction between two classes of speakers."""
    from voiceae.commands.options import require_files, tell
    from voiceae.conversion.voice import load
    from voiceae.latent.attributes import fit_attribute
    from voiceae.latent.labels import read_labels, two_classes

    classes = two_classes(read_labels(labels, column, key), at=at, positive=positive)
    require_files([out], force)
    voice = load(model, "griffinlim", device)
    profile, failures, total = _hear(voice, recordings or labels.absolute().parent, classes, clips, seed)
    fitted = fit_attribute(out.name.split(".")[0], profile, classes, voice.fingerprint, seed=seed)
    fitted.save(out, force=force)
    held = fitted.held_out
    pitch = "" if held.pitch_accuracy is None else f" (pitch alone: {held.pitch_accuracy:.1%})"
    click.echo(
        f"{out}: {held.accuracy:.1%} of held-out speakers told{pitch}; "
        f"- is {fitted.negative} ({held.negative} speakers), + is {fitted.positive} ({held.positive})"
    )
    return tell(failures, total, "clips")


def _hear(
    voice: object, source: Path, classes: Classes, per_speaker: int, seed: int
) -> tuple[dict[str, list[SpeakerProfile]], list[Failure], int]:
    import numpy as np

    from voiceae.commands.options import bar
    from voiceae.conversion.voice import Voice
    from voiceae.latent.recordings import draw_recordings, find_clips, profile_clips

    assert isinstance(voice, Voice)
    found = draw_recordings(
        find_clips(voice, source, set(classes.members)), per_speaker, np.random.default_rng(seed)
    )
    profile, failures = profile_clips(voice, found, bar("listen", "clip"))
    return profile, failures, len(found)
