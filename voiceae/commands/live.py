"""`voiceae live`: from the microphone to the loudspeaker in another voice."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options

EPILOG = """\b
Examples:
  voiceae live --target bob.wav
  voiceae live --target bob.wav --source-sample me.wav --look-ahead 2
  voiceae live --target bob --bank friends.npz
  voiceae live --devices

Wear headphones: what comes out must not go in again. Ctrl-C ends it."""


@click.command("live", epilog=EPILOG)
@options.targets
@options.bank
@click.option(
    "--source-sample",
    type=options.PATH,
    metavar="FILE",
    help="Recording of the source speaker, whose statistics start the stream.",
)
@options.voice(device="cpu")
@click.option("--in", "source", metavar="NAME|NUMBER", help="Input device; the system's by default.")
@click.option("--out", metavar="NAME|NUMBER", help="Output device; the system's by default.")
@click.option(
    "--look-ahead",
    default=0,
    type=click.IntRange(0, 20),
    help="Future context in steps of 46 ms: better quality, more latency.",
)
@click.option(
    "--gate",
    default=-60.0,  # as in `StreamOptions`
    type=click.FloatRange(-120, 0),
    metavar="DBFS",
    help="Noise gate: what is below becomes silence.",
)
@click.option(
    "--slack",
    default=0.05,  # two blocks of 20 ms, and more than the drift that the playout corrects
    type=click.FloatRange(0, 5),
    metavar="SECONDS",
    help="Output buffer beyond the stream's own latency; more of it where the sound breaks up.",
)
@click.option("--devices", "list_devices", is_flag=True, help="List the sound devices and exit.")
def command(
    targets: tuple[str, ...],
    bank: Path | None,
    source_sample: Path | None,
    choice: options.VoiceChoice,
    source: str | None,
    out: str | None,
    look_ahead: int,
    gate: float,
    slack: float,
    list_devices: bool,
) -> int:
    """Convert the microphone to the target's voice as you speak."""
    from voiceae.conversion.streaming import devices as sound

    if list_devices:
        click.echo(sound.devices())
        return 0
    if not targets:
        raise click.UsageError("give --target, or --devices")
    sound.require_sounddevice()  # before the model is loaded
    from voiceae.conversion.streaming.stream import StreamOptions
    from voiceae.latent.speakers.target_selection import resolve_stream_targets

    voice = choice.load()
    options = StreamOptions(look_ahead=look_ahead, gate_dbfs=gate)
    stream = voice.stream(
        resolve_stream_targets(voice, targets, bank), source_sample=source_sample, options=options
    )
    latency = stream.latency_seconds + slack
    click.echo(f"latency {latency:.2f} s, besides that of the sound devices; Ctrl-C ends it", err=True)
    missed = sound.run_devices(stream, source=_device(source), out=_device(out), slack_seconds=slack)
    late = missed / stream.sample_rate
    # Below 0.05 s it would read 0.0.
    hint = f"; {late:.1f} s came too late and were silent: try a larger --slack" if late >= 0.05 else ""
    click.echo(f"voiceae: ended{hint}", err=True)
    return 0


def _device(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.isdigit() else name
