"""`voiceae sample`: voices that nobody has, and contents that nobody said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.commands.options import PATH, bank_option, force_option, model_options

if TYPE_CHECKING:
    from voiceae.conversion.voice import Voice
    from voiceae.io.audio import Audio
    from voiceae.latent.posterior import Posterior

EPILOG = """\b
Examples:
  voiceae sample --from aggregated --out samples/
  voiceae sample --from prior --n 4 --seconds 2 --out noise/
  voiceae sample --from aggregated --source alice.wav --out voices/
  voiceae sample --from aggregated --target bob.wav --out contents/
\b
Given a source, only the voices are new; given a target, only the contents. The
prior is N(0, I) for each frame of a VAE (any code alike for a codebook), and any
direction alike for a voice. The aggregated posterior is that of voiceae posterior
fit. report.json and the table tell which samples are speech by scorers that
come with: pip install voiceae[eval]."""


@click.command("sample", epilog=EPILOG)
@click.option(
    "--from",
    "origin",
    required=True,
    type=click.Choice(["prior", "aggregated"]),
    help="Where codes and voices are drawn.",
)
@click.option("--n", "count", default=8, show_default=True, type=click.IntRange(1), help="Samples.")
@click.option(
    "--seconds", default=3.0, show_default=True, type=click.FloatRange(0.2, 60), help="Of each content."
)
@click.option("--source", metavar="FILE", help="Say this sentence instead of new contents.")
@click.option("--target", metavar="FILE", help="Speak in this voice instead of new ones.")
@click.option("--independent", is_flag=True, help="Let no frame know of its neighbour.")
@click.option("--posterior", type=PATH, metavar="FILE", help="Elsewhere than with the model.")
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@click.option("--no-scorers", is_flag=True, help="Do not check whether it is speech.")
@click.option(
    "--out", required=True, type=PATH, metavar="DIR", help="Folder of the samples and their report."
)
@bank_option
@model_options()
@force_option
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
    model: str,
    vocoder: str,
    device: str,
    force: bool,
) -> int:
    """Draw new voices and contents, let the decoder speak them, and check whether it is speech."""
    from voiceae.commands.options import bar, require_files, require_sounds, write_json
    from voiceae.conversion.voice import load
    from voiceae.io import audio as audio_io
    from voiceae.latent.sampling import Draw, draw_samples

    if source and target:
        raise click.UsageError("with --source and --target nothing is left to draw; use voiceae convert")
    paths = [out / f"{origin}-{number:0{len(str(count))}d}.wav" for number in range(1, count + 1)]
    require_sounds(paths, force)
    require_files([out / "report.json"], force)
    voice = load(model, vocoder, device)
    fitted = _posterior(voice, model, posterior) if origin == "aggregated" else None
    plan = Draw(count, seconds, seed, independent, source, _target(voice, target, bank))
    sounds = draw_samples(voice, fitted, plan, bar("sample", "sample"))
    for path, sound in zip(paths, sounds, strict=True):
        audio_io.write(path, sound, force=force)
    report: dict[str, Any] = {"from": origin, "seed": seed, "independent": independent, "source": source}
    report["target"] = target
    names = [path.name for path in paths]
    write_json(out / "report.json", report | _checked(names, sounds, no_scorers))
    return 0


def _posterior(voice: Voice, model: str, path: Path | None) -> Posterior:
    from voiceae.assets import bundled, find_model
    from voiceae.latent.posterior import Posterior, posterior_path

    found = path or posterior_path(find_model(model), voice.fingerprint, list(bundled().values()))
    return Posterior.read(found, voice.fingerprint)


def _target(voice: Voice, target: str | None, bank: Path | None) -> Any:
    from voiceae.latent.enrollment import profile_of_target

    return profile_of_target(voice, target, bank) if target else None


def _checked(names: list[str], sounds: list[Audio], skip: bool) -> dict[str, Any]:
    from voiceae.commands.options import bar
    from voiceae.latent.speech_check import SpeechCheck, check_all

    if skip:
        return {"samples": [{"file": name} for name in names]}
    check = SpeechCheck.load()
    for line in check.missing:
        click.echo(f"voiceae: {line}", err=True)
    found = check_all(sounds, check, bar("check", "sample"))
    for name, each in zip(names, found, strict=True):
        said = {None: "not checked", True: "speech", False: "no speech"}[each.speech]
        click.echo(f"{name}: {said}{_said(each.to_dict())}")
    checked = [each.speech for each in found if each.speech is not None]
    if checked:
        click.echo(f"{sum(checked)} of {len(checked)} samples are speech")
    return {
        "speech": sum(checked) if checked else None,
        "samples": [{"file": name, **each.to_dict()} for name, each in zip(names, found, strict=True)],
    }


def _said(values: dict[str, Any]) -> str:
    shown = {"ovrl": "DNSMOS", "sig": "of the signal", "spoken": "words' share", "confidence": "confidence"}
    parts = [f"{what} {values[name]:.2f}" for name, what in shown.items() if values[name] is not None]
    return f" ({', '.join(parts)})" if parts else ""
