"""`voiceae prepare`: turn a corpus into a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from voiceae.commands import options

EPILOG = """\b
Examples:
  voiceae prepare vctk VCTK-Corpus-0.92/ --out stores/vctk
  voiceae prepare libritts LibriTTS/ --out stores/libritts --jobs 8
  voiceae prepare folder recordings/ --out stores/mine --valid-speakers 2
  voiceae prepare folder recordings/ more/ --out stores/mine
  voiceae prepare folder recordings/ --aligned renderings/ --out stores/mine
  voiceae prepare csv recordings.csv --out stores/mine
  voiceae prepare libritts LibriTTS/ --out stores/libritts --backend dask --scheduler tcp://head:8786

\b
  vctk      VCTK 0.92 as published: wav48_silence_trimmed/<speaker>/...
  libritts  <subset>/<speaker>/<chapter>/*.wav, all subsets or one of them
  folder    one subfolder a speaker; wav, flac, ogg, opus, mp3 at any depth;
            several folders make one corpus: equal names are one speaker
  csv       columns path, speaker, and optionally split, text, gender

DIR of --aligned holds one subfolder a speaker too. Recordings of equal names
in it are one sentence in several voices, in step frame by frame: each is the
other's true conversion. They are trimmed by one interval and form a group,
which data.aligned_share of voiceae train draws pairs from. Lengths that differ
by more than a frame, and levels that do not change alike, show that they are
not aligned: those are left out. A group is held out whole or not at all, and
held-out speakers are drawn from the others.

Interrupted, it goes on where it was when called again in the same way. Files
that cannot be used are left out: the last line names some with the reason,
STORE/report.csv all. The exit status is 0 all the same, since a corpus with a
few bad files is usable; it is 1 where nothing to train on is left."""


@click.command("prepare", epilog=EPILOG)
@click.argument("kind", type=click.Choice(["vctk", "libritts", "folder", "csv"]))
@click.argument("corpora", type=options.PATH, nargs=-1, metavar="[CORPUS]...")
@click.option("--out", type=options.PATH, required=True, metavar="STORE", help="Folder of the store.")
@click.option(
    "--aligned",
    type=options.PATH,
    multiple=True,
    metavar="DIR",
    help="Folder of speakers whose recordings are in step where their names are equal; may be repeated.",
)
@click.option(
    "--valid-speakers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Speakers to hold out; a tenth of them, at most 8, by default.",
)
@click.option(
    "--valid-utterances",
    type=click.FloatRange(0, 0.5),
    default=0.02,
    metavar="SHARE",
    help="Share of the other speakers' utterances to hold out; above 0, at least one.",
)
@options.seed
@click.option("--mic", type=click.Choice(["mic1", "mic2"]), default="mic1", help="VCTK's microphone.")
@click.option("--trim/--no-trim", default=True, help="Trim silence at both ends.")
@click.option(
    "--min-seconds",
    type=click.FloatRange(min=0.1),
    default=0.5,
    metavar="S",
    help="Leave out recordings that are shorter, after trimming.",
)
@click.option(
    "--spec", metavar="JSON", help="""Fields of the mel that differ, such as '{"sample_rate": 16000}'."""
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; one a core by default.")
@click.option(
    "--backend",
    type=click.Choice(["local", "dask"]),
    default="local",
    help="Processes here, or the workers of a Dask cluster that see CORPUS and STORE by the same paths.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler, such as tcp://head:8786."
)
@click.option("--waves", is_flag=True, help="Keep the waves too, which training a vocoder needs.")
@click.option(
    "--speaker-teacher",
    is_flag=True,
    help="Ask a pretrained speaker encoder what experiment=speaker learns from.",
)
@click.option("--force", is_flag=True, help="Start anew where STORE holds a store made differently.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
def command(
    kind: str,
    corpora: tuple[Path, ...],
    aligned: tuple[Path, ...],
    out: Path,
    spec: str | None,
    jobs: int | None,
    backend: str,
    scheduler: str | None,
    waves: bool,
    speaker_teacher: bool,
    force: bool,
    progress: bool,
    **chosen: Any,
) -> None:
    """Turn CORPUS into a feature store: log-mels, a table of utterances, statistics and splits."""
    import json

    from voiceae.data.prepare import backend as working_on
    from voiceae.data.prepare import prepare
    from voiceae.data.store import PrepareOptions
    from voiceae.errors import ConfigError
    from voiceae.specs import AudioSpec

    try:
        mel = AudioSpec.from_dict(AudioSpec().to_dict() | json.loads(spec or "{}"))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--spec {spec}: {error}; give JSON such as '{{\"sample_rate\": 16000}}'") from None
    # The other options are called as the fields are.
    how = PrepareOptions(**chosen)
    if not corpora and not aligned:
        raise click.UsageError("Missing argument 'CORPUS'.")
    with working_on(backend, scheduler):
        prepared = prepare(
            kind,
            corpora,
            out,
            aligned=aligned,
            spec=mel,
            options=how,
            jobs=jobs,
            force=force,
            progress=progress,
        )
    if (
        waves or speaker_teacher
    ):  # afterwards, so that a store of mels alone can be given them by a second call
        from voiceae.data.speaker_teacher import add_speaker_teacher
        from voiceae.data.store import FeatureStore
        from voiceae.data.waves import add_waves
        from voiceae.hardware import available_cpus

        store = FeatureStore.open(prepared.path)
        for add in [*[add_waves] * waves, *[add_speaker_teacher] * speaker_teacher]:
            add(store, jobs=jobs or available_cpus(), progress=progress)
    click.echo(str(prepared))
