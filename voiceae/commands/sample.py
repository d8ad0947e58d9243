"""`voiceae sample`: draw speakers and content from the prior or the aggregated posterior."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.commands import options
from voiceae.commands.options import progress, require_files, require_sounds, write_json

if TYPE_CHECKING:
    from voiceae.io.audio import Audio

EPILOG = """\b
Examples:
  voiceae sample --from aggregated --out samples/
  voiceae sample --from prior --n 4 --seconds 2 --out noise/
  voiceae sample --from aggregated --source alice.wav --out voices/
  voiceae sample --from aggregated --target bob.wav --out contents/

Given a source, only the speakers are drawn; given a target, only the content. The
prior is N(0, I) for each frame of a VAE (uniform over a codebook), and uniform over
the sphere of speaker embeddings. The aggregated posterior is that of voiceae
posterior fit. report.json and the table say which samples DNSMOS and a recogniser
take for speech; these come with: pip install 'voiceae[eval]'."""


@click.command("sample", epilog=EPILOG)
@click.option(
    "--from",
    "origin",
    required=True,
    type=click.Choice(["prior", "aggregated"]),
    help="Distribution to draw from.",
)
@click.option("--n", "count", default=8, type=click.IntRange(1), help="Samples.")
@click.option("--seconds", default=3.0, type=click.FloatRange(0.2, 60), help="Length of drawn content.")
@click.option("--source", metavar="FILE", help="Recording whose content is taken instead of drawn content.")
@click.option("--target", metavar="FILE", help="Speaker to convert to instead of drawn ones.")
@click.option("--independent", is_flag=True, help="Draw every frame by itself, without transitions.")
@click.option(
    "--posterior",
    type=options.PATH,
    metavar="FILE",
    help="Fitted posterior; the one beside the model by default.",
)
@options.seed
@click.option("--no-scorers", is_flag=True, help="Do not score whether it is speech.")
@click.option(
    "--out", required=True, type=options.PATH, metavar="DIR", help="Folder of the samples and their report."
)
@options.bank
@options.voice()
@options.force
def command(
    origin: str,
    count: int,
    seconds: float,
    source: str | None,
    target: str | None,
    independent: bool,
    posterior: Path | None,
    seed: int,
    no_scorers: bool,
    out: Path,
    bank: Path | None,
    choice: options.VoiceChoice,
    force: bool,
) -> int:
    """Draw speakers and content, decode them, and score whether the result is speech."""
    from voiceae.io import audio as audio_io
    from voiceae.latent.posterior import Posterior
    from voiceae.latent.sampling import SamplingPlan, draw_samples
    from voiceae.latent.speakers.enrollment import profile_of_target

    if source and target:
        raise click.UsageError("with --source and --target nothing is left to draw; use voiceae convert")
    paths = [out / f"{origin}-{number:0{len(str(count))}d}.wav" for number in range(1, count + 1)]
    require_sounds(paths, force)
    require_files([out / "report.json"], force)
    voice = choice.load()
    fitted = None
    if origin == "aggregated":
        fitted = Posterior.read(posterior or choice.posterior_path(voice), voice.fingerprint)
    speaker = profile_of_target(voice, target, bank) if target else None
    # What is not drawn is given: the content of a recording, or a speaker.
    plan = SamplingPlan(count, seconds, seed, independent, source, speaker)
    sounds = draw_samples(voice, fitted, plan, progress("sample", "sample"))
    for path, sound in zip(paths, sounds, strict=True):
        audio_io.write(path, sound, force=force)
    drawn = {"from": origin, "seed": seed, "independent": independent, "source": source, "target": target}
    names = [path.name for path in paths]
    scores = {"samples": [{"file": name} for name in names]} if no_scorers else _scored(names, sounds)
    write_json(out / "report.json", drawn | scores)
    return 0


def _scored(names: list[str], sounds: list[Audio]) -> dict[str, Any]:
    """Print what DNSMOS and the recogniser say of every sample; the same for the report."""
    from voiceae.latent.speech_check import SpeechCheck, check_all

    scorers = SpeechCheck.load()
    for line in scorers.missing:
        click.echo(f"voiceae: {line}", err=True)
    found = [each.to_dict() for each in check_all(sounds, scorers, progress("score", "sample"))]
    shown = {"ovrl": "DNSMOS", "sig": "signal", "spoken": "share of words", "confidence": "confidence"}
    for name, scores in zip(names, found, strict=True):
        verdict = {None: "not scored", True: "speech", False: "no speech"}[scores["speech"]]
        figures = [f"{what} {scores[key]:.2f}" for key, what in shown.items() if scores[key] is not None]
        click.echo(f"{name}: {verdict}" + (f" ({', '.join(figures)})" if figures else ""))
    speech = [scores["speech"] for scores in found if scores["speech"] is not None]
    if speech:
        click.echo(f"{sum(speech)} of {len(speech)} samples are speech")
    return {
        "speech": sum(speech) if speech else None,
        "samples": [{"file": name, **scores} for name, scores in zip(names, found, strict=True)],
    }
