"""`voiceae vocoder`: bring in vocoders from elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands.options import PATH


@click.group()
def vocoder() -> None:
    """Bring in vocoders from elsewhere."""


@vocoder.command("import")
@click.argument("checkpoint", type=PATH)
@click.option("--out", required=True, type=PATH, help="The .safetensors file to write.")
@click.option("--half", is_flag=True, help="Store float16: half the size, rounded weights.")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
def import_checkpoint(checkpoint: Path, out: Path, half: bool, force: bool) -> None:
    r"""Turn a HiFi-GAN CHECKPOINT of its authors' format into one safe, self-describing file.

    CHECKPOINT is the folder with generator_* and config.json, or the generator file itself.

    \b
    Example:
        voiceae vocoder import hifigan/LJ_V3 --out lj_v3.safetensors
        voiceae convert a.wav --target b.wav --out c.wav --vocoder lj_v3.safetensors
    """
    from voiceae.vocoders import hifigan as hifigan_checkpoint

    hifigan_checkpoint.convert(checkpoint, out, force=force, half=half)
    click.echo(f"wrote {out}")
