"""`voiceae interpolate`: interpolate between the content of two sentences."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import numbered, progress, require_files, require_sounds, write_json

EPILOG = """\b
Examples:
  voiceae interpolate one.wav two.wav --out between.wav
  voiceae interpolate one.wav two.wav --steps 9 --target bob.wav --mels --out between.wav

The two are brought onto one time axis by dynamic time warping of their content
codes. Written are between-1.wav (the first sentence) to between-5.wav (the
second), all in one voice, between.png and between.json: how smooth the path is,
beside that of mixing the mels of its two ends on the same time axis."""


@click.command("interpolate", epilog=EPILOG)
@click.argument("first")
@click.argument("second")
@click.option("--steps", default=5, type=click.IntRange(2), help="Sounds, both ends included.")
@click.option("--target", metavar="FILE", help="Voice to speak in; that of FIRST by default.")
@click.option("--mels", is_flag=True, help="Also write the mixed mels as sounds, between-mel-1.wav, ...")
@click.option(
    "--out", required=True, type=options.PATH, metavar="FILE", help="Name of the sounds, without a number."
)
@options.bank
@options.voice()
@options.force
def command(
    first: str,
    second: str,
    steps: int,
    target: str | None,
    mels: bool,
    out: Path,
    bank: Path | None,
    choice: options.VoiceChoice,
    force: bool,
) -> int:
    """Interpolate from the sentence FIRST to the sentence SECOND through the content code."""
    from voiceae.io import audio as audio_io
    from voiceae.latent.interpolation import draw_interpolation, interpolate
    from voiceae.latent.speakers.enrollment import profile_of_target

    plain = numbered(out.with_name(f"{out.stem}-mel{out.suffix}"), steps if mels else 0)
    require_sounds([*numbered(out, steps), *plain], force)
    require_files([out.with_suffix(suffix) for suffix in (".png", ".json")], force)
    voice = choice.load()
    speaker = profile_of_target(voice, target, bank) if target else None
    found = interpolate(
        voice, first, second, steps=steps, speaker=speaker, progress=progress("interpolate", "step")
    )
    written = [*zip(numbered(out, steps), found.mels, strict=True)]
    written += [*zip(plain, found.mixed_mels, strict=False)]  # `plain` is empty without --mels
    for path, mel in written:
        audio_io.write(path, voice.synthesise(mel), force=force)
    draw_interpolation(found, out.with_suffix(".png"), force=force)
    figures = {
        "first": first,
        "second": second,
        "shares": [round(share, 4) for share in found.shares],
        "alignment_cost": round(found.alignment.cost, 4),
        "codes": found.code_smoothness.to_dict(),
        "mels": found.mel_smoothness.to_dict(),
    }
    write_json(out.with_suffix(".json"), figures)
    for name, smooth in (("codes mixed", found.code_smoothness), ("mels mixed", found.mel_smoothness)):
        click.echo(
            f"{name}: detour {smooth.detour:.2f}, largest step {smooth.largest_step:.2f} of the mean, "
            f"contrast at least {min(smooth.contrast):.2f} of the ends'"
        )
    return 0
