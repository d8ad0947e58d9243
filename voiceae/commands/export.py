"""`voiceae export`: a model as ONNX graphs, for inference without torch."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options

EPILOG = """\b
Examples:
  voiceae export base --out base-onnx
  voiceae convert alice.wav --target bob.wav --out c.wav --model base-onnx --runtime onnx
  voiceae export runs/mine/model.safetensors --out runs/mine/model.onnx --clip alice.wav --clip bob.wav

The folder holds the model file, graphs that point into it, a manifest, and the
vocoder where that is a network. A folder NAME.onnx beside NAME.safetensors is
found by itself: voiceae convert --model NAME.safetensors then starts without torch.

The graphs are compared with torch on the clips; nothing is written if they differ.
Exporting needs the extra: pip install 'voiceae[onnx]'"""


@click.command("export", epilog=EPILOG)
@click.argument("model")
@click.option("--out", required=True, type=options.PATH, metavar="DIR", help="The folder to write.")
@options.vocoder
@click.option(
    "--clip",
    "clips",
    multiple=True,
    type=options.PATH,
    metavar="FILE",
    help="Real speech to compare on, at least 0.5 s; several times. By default the clips of the demo, in a checkout.",
)
@click.option(
    "--graphs-only", is_flag=True, help="Leave the weights in the model file; DIR must stand beside it."
)
@options.force
def command(
    model: str, out: Path, vocoder: str, clips: tuple[Path, ...], graphs_only: bool, force: bool
) -> None:
    """Write MODEL, a bundled name or a path, as ONNX graphs."""
    from voiceae.errors import ConfigError

    # Both are needed only here, so that an installation without the extra has every other command.
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"voiceae export needs {error.name}; pip install 'voiceae[onnx]'") from None
    from voiceae.conversion.backends.export import export

    # In a checkout the clips of the demo stand beside the package; a wheel has none.
    clips = clips or tuple(sorted((Path(__file__).parents[2] / "recipes/demo/clips").glob("*.flac")))
    if not clips:
        raise ConfigError("no speech to compare on; give two recordings, as --clip A.wav --clip B.wav")
    manifest = export(model, out, vocoder=vocoder, clips=clips, force=force, graphs_only=graphs_only)
    found = ", ".join(f"{name} {value:g}" for name, value in manifest.checked["largest"].items())
    click.echo(f"wrote {out}; largest differences from torch: {found}")
