"""`voiceae posterior`: where a model's codes and voices really lie."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands.options import PATH, force_option, model_options

EPILOG = """\b
Examples:
  voiceae posterior fit --recordings store/
  voiceae posterior fit --recordings recordings/ --model mine.safetensors --components 1
  voiceae sample --from aggregated --out samples/
\b
Fitted are a mixture of Gaussians over the code frames of all recordings, how one
frame follows another, and a Gaussian over the voices of their speakers with
their pitch and colour. A discrete model has its codes for components. It is
written beside the model, MODEL.posterior.safetensors; that of a bundled model
among the user's data."""


@click.group("posterior", epilog=EPILOG)
def command() -> None:
    """Fit the aggregated posterior of codes and voices."""


@command.command("fit", epilog=EPILOG)
@click.option(
    "--recordings", required=True, type=PATH, metavar="DIR", help="Feature store, or folder of speakers."
)
@click.option(
    "--components",
    default=8,
    show_default=True,
    type=click.IntRange(1),
    help="Of the mixture over code frames.",
)
@click.option(
    "--voice-components",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Of the mixture over voices; each takes ten speakers.",
)
@click.option(
    "--clips", default=3, show_default=True, type=click.IntRange(1), help="Heard of each speaker, at most."
)
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@click.option("--out", type=PATH, metavar="FILE", help="Elsewhere than with the model.")
@model_options(vocoder=False)
@force_option
def fit(
    recordings: Path,
    components: int,
    voice_components: int,
    clips: int,
    seed: int,
    out: Path | None,
    model: str,
    device: str,
    force: bool,
) -> int:
    """Fit the posterior to recordings, and write it with the model."""
    import numpy as np

    from voiceae.assets import bundled, find_model
    from voiceae.commands.options import bar, require_files, tell
    from voiceae.conversion.voice import load
    from voiceae.latent.posterior import posterior_path
    from voiceae.latent.posterior_fitting import fit_posterior
    from voiceae.latent.recordings import draw_recordings, find_clips

    voice = load(model, "griffinlim", device)
    path = out or posterior_path(find_model(model), voice.fingerprint, list(bundled().values()))
    require_files([path], force)
    found = draw_recordings(find_clips(voice, recordings), clips, np.random.default_rng(seed))
    posterior, failures = fit_posterior(
        voice,
        found,
        components=components,
        voice_components=voice_components,
        seed=seed,
        watch=bar("listen", "clip"),
    )
    posterior.save(path, force=force)
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in posterior.about.items())
    click.echo(f"{path}: {said}")
    return tell(failures, len(found), "clips")
