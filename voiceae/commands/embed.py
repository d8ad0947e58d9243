"""`voiceae embed`: speaker embeddings of files and folders."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands.options import PATH

EPILOG = """\b
Examples:
  voiceae embed bob.wav --out bob.npz
  voiceae embed recordings/ --out speakers.npz --plot map.png
  voiceae embed recordings/ more/*.flac --out speakers.csv
  voiceae convert alice.wav --target speakers.npz:bob --out alice-as-bob.wav
\b
Folders are searched at any depth. As in voiceae prepare folder, the speakers
are the subfolders: recordings/bob/day1/a.wav is bob. Files beside them go by
the folder's own name, a file given by itself by that of the folder it lies in.
The .npz holds embeddings (files, S), paths, speakers, speaker_embeddings and
speaker_names, sorted; the .csv the same, speakers in rows without a path.
Files that cannot be read are listed at the end."""


@click.command("embed", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--out", required=True, type=PATH, metavar="FILE", help=".npz or .csv to write.")
@click.option(
    "--plot",
    type=PATH,
    metavar="PNG",
    help="Draw a map of the voices and a matrix of their similarity.",
)
@click.option("--model", default="base", show_default=True, metavar="NAME|PATH", help="Bundled or own model.")
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Where to compute."
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def command(
    paths: tuple[str, ...], out: Path, plot: Path | None, model: str, device: str, force: bool
) -> int:
    """Turn recordings into speaker embeddings: files, or folders with a subfolder for each speaker."""
    from tqdm import tqdm

    from voiceae.commands.convert import report
    from voiceae.conversion.batch import Failure, embed_files, find_recordings
    from voiceae.conversion.embedding_files import require_table_path

    require_table_path(out, force)
    if plot:
        from voiceae.latent.plotting import require_picture_path

        require_picture_path(plot, force)
    closed: list[Failure] = []
    files = find_recordings(paths, closed)

    from voiceae.conversion.voice import load

    voice = load(model, "griffinlim", device)
    collected = embed_files(voice, files, lambda each: tqdm(each, desc="embed", unit="file"))
    collected.table.save(out, force=force)
    if plot:
        from voiceae.latent.plotting import draw_map

        draw_map(collected.table, plot, force=force)
    return report([*closed, *collected.failures], len(files) + len(closed), "files")
