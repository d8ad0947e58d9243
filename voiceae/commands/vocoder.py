"""`voiceae vocoder`: import vocoders of other toolkits."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options


@click.group("vocoder")
def command() -> None:
    """Import vocoders of other toolkits."""


@command.command("import")
@click.argument("checkpoint", type=options.PATH)
@click.option("--out", required=True, type=options.PATH, help="The .safetensors file to write.")
@click.option("--half", is_flag=True, help="Store float16: half the size, rounded weights.")
@options.force
def import_checkpoint(checkpoint: Path, out: Path, half: bool, force: bool) -> None:
    r"""Turn a HiFi-GAN CHECKPOINT of its authors' format into one safe, self-describing file.

    CHECKPOINT is the folder with generator_* and config.json, or the generator file itself.

    \b
    Example:
        voiceae vocoder import hifigan/LJ_V3 --out lj_v3.safetensors
        voiceae convert a.wav --target b.wav --out c.wav --vocoder lj_v3.safetensors
    """
    from voiceae.vocoders import hifigan

    hifigan.convert(checkpoint, out, force=force, half=half)
    click.echo(f"wrote {out}")
