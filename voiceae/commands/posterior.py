"""`voiceae posterior`: the aggregated posterior of a model's codes and speakers."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import progress, report_failures, require_files

EPILOG = """\b
Examples:
  voiceae posterior fit --recordings store/
  voiceae posterior fit --recordings recordings/ --model mine.safetensors --components 1
  voiceae sample --from aggregated --out samples/

Fitted are a mixture of Gaussians over the code frames of all recordings, the
transitions between its components, and a Gaussian over the speakers with their
pitch and mel statistics. A discrete model has its codes for components. It is
written beside the model, MODEL.posterior.safetensors; that of a bundled model
among the user's data."""


@click.group("posterior", epilog=EPILOG)
def command() -> None:
    """Fit the aggregated posterior of codes and speakers."""


@command.command("fit", epilog=EPILOG)
@click.option(
    "--recordings",
    required=True,
    type=options.PATH,
    metavar="DIR",
    help="Feature store, or folder of speakers.",
)
@click.option(
    "--components", default=8, type=click.IntRange(1), help="Components of the mixture over code frames."
)
@click.option(
    "--voice-components",
    default=1,
    type=click.IntRange(1),
    help="Components of the mixture over speakers; each takes ten speakers.",
)
@options.clips(3)
@options.seed
@click.option(
    "--out", type=options.PATH, metavar="FILE", help="File to write; the one beside the model by default."
)
@options.voice(sound=False)
@options.force
def fit(
    recordings: Path,
    components: int,
    voice_components: int,
    clips: int,
    seed: int,
    out: Path | None,
    choice: options.VoiceChoice,
    force: bool,
) -> int:
    """Fit the posterior to recordings, and write it with the model."""
    import numpy as np

    from voiceae.latent.posterior_fitting import fit_posterior
    from voiceae.latent.recordings import draw_recordings, find_clips

    voice = choice.load()
    path = out or choice.posterior_path(voice)
    require_files([path], force)
    drawn = draw_recordings(find_clips(voice, recordings), clips, np.random.default_rng(seed))
    posterior, failures = fit_posterior(
        voice,
        drawn,
        components=components,
        voice_components=voice_components,
        seed=seed,
        progress=progress("encode", "clip"),
    )
    posterior.save(path, force=force)
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in posterior.about.items())
    click.echo(f"{path}: {facts}")
    return report_failures(failures, len(drawn), "clips")
