"""`voiceae embed`: speaker embeddings of files and folders."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import find_recordings, progress, report_failures

EPILOG = """\b
Examples:
  voiceae embed bob.wav --out bob.npz
  voiceae embed recordings/ --out speakers.npz --plot map.png
  voiceae embed recordings/ more/*.flac --out speakers.csv
  voiceae convert alice.wav --target speakers.npz:bob --out alice-as-bob.wav

Folders are searched at any depth. As in voiceae prepare folder, the speakers
are the subfolders: recordings/bob/day1/a.wav is bob. Files beside them go by
the folder's own name, a file given by itself by that of the folder it lies in.
The .npz holds embeddings (files, S), paths, speakers, speaker_embeddings and
speaker_names, sorted; the .csv the same, speakers in rows without a path.
What else a conversion takes of a voice (mel statistics, and frames where the
model looks them up) is in the .npz alone: convert to that.
Files that cannot be read are listed at the end."""


@click.command("embed", epilog=EPILOG)
@options.recordings
@click.option("--out", required=True, type=options.PATH, metavar="FILE", help=".npz or .csv to write.")
@click.option(
    "--plot",
    type=options.PATH,
    metavar="PNG",
    help="Draw a map of the speakers and a matrix of their similarity.",
)
@options.voice(sound=False)
@options.force
def command(
    paths: tuple[str, ...], out: Path, plot: Path | None, choice: options.VoiceChoice, force: bool
) -> int:
    """Compute speaker embeddings of recordings: files, or folders with a subfolder for each speaker."""
    from voiceae.conversion.batch import embed_files
    from voiceae.conversion.embedding_files import require_table_path

    require_table_path(out, force)
    if plot:
        # Only here: matplotlib is slow to import and not needed for the table.
        from voiceae.latent.plotting import require_picture_path

        require_picture_path(plot, force)
    files, closed = find_recordings(paths)
    table, failures = embed_files(choice.load(), files, progress("embed", "file"))
    table.save(out, force=force)
    if plot:
        from voiceae.latent.plotting import draw_speaker_map

        draw_speaker_map(table, plot, force=force)
    return report_failures([*closed, *failures], len(files) + len(closed), "files")
