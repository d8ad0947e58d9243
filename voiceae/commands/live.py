"""`voiceae live`: from the microphone to the loudspeaker in another voice."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands.options import PATH, bank_option

EPILOG = """\b
Examples:
  voiceae live --target bob.wav
  voiceae live --target bob.wav --like me.wav --look-ahead 2
  voiceae live --target bob --bank friends.npz
  voiceae live --devices
\b
Wear headphones: what comes out must not go in again. Ctrl-C ends it."""


@click.command("live", epilog=EPILOG)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="FILE",
    help="Recording of the voice, stored embedding or name of the bank, as for convert; several are averaged.",
)
@bank_option
@click.option("--like", type=PATH, metavar="FILE", help="Recording of who will speak.")
@click.option("--model", default="base", show_default=True, metavar="NAME|PATH", help="Bundled or own model.")
@click.option("--vocoder", default="default", show_default=True, metavar="NAME|PATH", help="As for convert.")
@click.option("--device", default="cpu", show_default=True, metavar="auto|cpu|cuda", help="Where to compute.")
@click.option("--in", "source", metavar="NAME|NUMBER", help="Sound device to hear; the system's by default.")
@click.option("--out", metavar="NAME|NUMBER", help="Sound device to play on; the system's by default.")
@click.option(
    "--look-ahead",
    default=0,
    show_default=True,
    type=click.IntRange(0, 20),
    help="Steps of 46 ms to wait, for a better voice.",
)
@click.option(
    "--gate",
    default=-60.0,
    show_default=True,
    type=click.FloatRange(-120, 0),
    metavar="DBFS",
    help="Below it is silence.",
)
@click.option(
    "--slack",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 5),
    metavar="SECONDS",
    help="Waiting beyond the stream's own; more of it where the sound breaks up.",
)
@click.option("--devices", "list_devices", is_flag=True, help="List the sound devices and leave.")
def command(
    targets: tuple[str, ...],
    bank: Path | None,
    like: Path | None,
    model: str,
    vocoder: str,
    device: str,
    source: str | None,
    out: str | None,
    look_ahead: int,
    gate: float,
    slack: float,
    list_devices: bool,
) -> int:
    """Speak into the microphone and hear the target's voice."""
    from voiceae.conversion.streaming import devices as stream_device

    if list_devices:
        click.echo(stream_device.devices())
        return 0
    if not targets:
        raise click.UsageError("give --target, or --devices")
    stream_device.require_sounddevice()
    from voiceae.conversion.streaming.stream import StreamOptions
    from voiceae.conversion.voice import load
    from voiceae.latent.target_names import resolved

    options = StreamOptions(look_ahead=look_ahead, gate_dbfs=gate)
    voice = load(model, vocoder, device)
    stream = voice.stream(resolved(voice, targets, bank), like=like, options=options)
    waits = stream.latency_seconds + slack
    click.echo(f"speaking {waits:.2f} s late, besides what the sound devices take; Ctrl-C ends it", err=True)
    missed = stream_device.run_devices(stream, source=_device(source), out=_device(out), slack_seconds=slack)
    click.echo(f"voiceae: ended{_late(missed / stream.sample_rate)}", err=True)
    return 0


def _late(seconds: float) -> str:
    return f"; {seconds:.1f} s came too late and were silent: try a larger --slack" if seconds >= 0.05 else ""


def _device(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.isdigit() else name
