"""`voiceae speakers`: a bank of enrolled speakers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from voiceae.commands import options
from voiceae.commands.options import find_recordings, progress, report_failures, require_files, try_each

if TYPE_CHECKING:
    from voiceae.latent.speakers.enrollment import SpeakerBank

EPILOG = """\b
Examples:
  voiceae speakers add bob bob1.wav bob2.wav
  voiceae speakers add carol recordings/carol/
  voiceae speakers list
  voiceae speakers export --matrix similarity.csv --plot voices.png
  voiceae speakers remove bob
  voiceae convert alice.wav --target bob --out alice-as-bob.wav

A bank belongs to one model, and keeps the speaker profile of every clip:
converting to a name is converting to its clips. The file is a table as voiceae
embed writes it."""


@click.group("speakers", epilog=EPILOG)
def command() -> None:
    """Enrol speakers under names that work as targets."""


@command.command("add", epilog=EPILOG)
@click.argument("name")
@click.argument("clips", nargs=-1, required=True, metavar="CLIP...")
@click.option("--replace", is_flag=True, help="Remove the clips that this name had before.")
@options.bank
@options.voice(sound=False)
def add(
    name: str, clips: tuple[str, ...], replace: bool, bank: Path | None, choice: options.VoiceChoice
) -> int:
    """Add clips, or folders of them, to the speaker NAME."""
    from voiceae.errors import AudioError
    from voiceae.latent.speakers.enrollment import SpeakerBank, default_bank, require_name

    require_name(name)
    files, failures = find_recordings(clips)
    total = len(files) + len(failures)
    voice = choice.load()
    path = bank or default_bank(voice.fingerprint)
    SpeakerBank.open(path, voice.fingerprint)  # one that is damaged is said before the work is done
    profiles, bad = try_each(files, voice.profile, progress("embed", "clip"))
    failures += bad
    if not profiles:
        raise AudioError(failures[-1].reason)
    # Opened anew under its lock: another process may have added to it in the meantime.
    with SpeakerBank.changing(path, voice.fingerprint) as known:
        if replace and name in known.voices:
            known.remove(name)
        known.add(name, {str(file.absolute()): profile for file, profile in profiles.items()})
    click.echo(f"{known.path}: {name} has {len(known.voices[name])} clips")
    return report_failures(failures, total, "clips")


@command.command("list", epilog=EPILOG)
@options.bank
@options.model
def list_(bank: Path | None, model: str) -> None:
    """List the speakers, how alike the clips of each are, and who is nearest."""
    known = _open(bank, model)
    click.echo(f"{known.path}: {len(known.voices)} speakers")
    for each in known.standings():
        own = "" if each.agreement is None else f", alike {each.agreement:.2f}"
        near = f"; nearest {each.nearest} ({each.similarity:.2f})" if each.nearest else ""
        click.echo(f"  {each.name}: {each.clips} clip{'s' if each.clips > 1 else ''}{own}{near}")


@command.command("remove", epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.bank
@options.model
def remove(names: tuple[str, ...], bank: Path | None, model: str) -> None:
    """Remove speakers from the bank."""
    from voiceae.latent.speakers.enrollment import SpeakerBank

    path, fingerprint = _place(bank, model)
    with SpeakerBank.changing(path, fingerprint, must_exist=bank is not None) as known:
        for name in names:
            known.remove(name)
    click.echo(f"{known.path}: {len(known.voices)} speakers are left")


@command.command("export", epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--out", type=options.PATH, metavar="FILE", help="Embeddings, as .npz or .csv of voiceae embed."
)
@click.option(
    "--matrix", type=options.PATH, metavar="CSV", help="Mean cosine between the clips of every two speakers."
)
@click.option(
    "--plot", type=options.PATH, metavar="PNG", help="Map of the voices, and the matrix as a picture."
)
@options.bank
@options.model
@options.force
def export(
    names: tuple[str, ...],
    out: Path | None,
    matrix: Path | None,
    plot: Path | None,
    bank: Path | None,
    model: str,
    force: bool,
) -> None:
    """Write the bank, or some speakers of it, for other programs."""
    from voiceae.conversion.embedding_files import require_table_path
    from voiceae.latent.plotting import draw_speaker_map, require_picture_path, write_similarity

    if not (out or matrix or plot):
        raise click.UsageError("give --out, --matrix or --plot")
    if out:
        require_table_path(out, force)
    if plot:
        require_picture_path(plot, force)
    require_files([matrix], force)
    table = _open(bank, model).table(names)
    if out:
        table.save(out, force=force)
    if matrix:
        write_similarity(table, matrix, force=force)
    if plot:
        draw_speaker_map(table, plot, force=force)


def _open(bank: Path | None, model: str) -> SpeakerBank:
    """The bank of a model, without loading the model."""
    from voiceae.latent.speakers.enrollment import SpeakerBank

    path, fingerprint = _place(bank, model)
    return SpeakerBank.open(path, fingerprint, must_exist=bank is not None)


def _place(bank: Path | None, model: str) -> tuple[Path, str]:
    """Where the bank of a model is, and the model's fingerprint."""
    from voiceae.assets import find_model
    from voiceae.io.modelfile import read_header
    from voiceae.latent.speakers.enrollment import default_bank

    fingerprint = read_header(find_model(model)).checksum
    return bank or default_bank(fingerprint), fingerprint
