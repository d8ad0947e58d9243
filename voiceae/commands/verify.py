"""`voiceae verify`: how well speaker embeddings tell held-out speakers apart."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import counted_progress, require_files, write_json

EPILOG = """\b
Examples:
  voiceae verify --corpus vctk/
  voiceae verify --model runs/vctk/model.safetensors --corpus speakers/ --kind folder --encoders ""
  voiceae verify --corpus speakers/ --kind folder --out verification.json

Every pair of clips is a trial. The equal error rate is where as many pairs of one
speaker are refused as pairs of two speakers are accepted: 50 % knows nothing, 0 % is
never wrong. The second rate is that of the same clips with half of every speaker's
sent through one other channel; it tells whether voices were learnt, or microphones.
Beside the model stand Resemblyzer (speaker) and a d-vector, of: pip install 'voiceae[eval]'."""


@click.command("verify", epilog=EPILOG)
@options.voice(sound=False)
@click.option(
    "--corpus", required=True, type=options.PATH, metavar="DIR", help="Corpus of held-out speakers."
)
@click.option("--kind", default="vctk", metavar="KIND", help="vctk, libritts, folder or csv.")
@click.option(
    "--encoders", default=None, metavar="LIST", help="Encoders beside the model's own; all by default."
)
@click.option("--out", type=options.PATH, metavar="JSON", help="File of all figures.")
@options.seed
@click.option("--jobs", default=1, type=click.IntRange(1), help="Processes of the encoders beside it.")
@click.option("--cache", type=options.PATH, metavar="DIR", help="Folder of earlier scores.")
@click.option("--no-cache", is_flag=True, help="Score everything anew.")
@options.force
def command(
    choice: options.VoiceChoice,
    corpus: Path,
    kind: str,
    encoders: str | None,
    out: Path | None,
    seed: int,
    jobs: int,
    cache: Path | None,
    no_cache: bool,
    force: bool,
) -> int:
    """Measure how well a model's speaker embeddings tell held-out speakers apart."""
    from voiceae.assets import find_model
    from voiceae.evaluation.pairs import group_by_speaker, held_out_clips, trained_speakers
    from voiceae.evaluation.scoring import default_cache
    from voiceae.evaluation.verification.embeddings import MIN_CLIPS, embedding_cells, measure_embeddings
    from voiceae.io.modelfile import read_header
    from voiceae.pretrained.scorers import SPEAKER_ENCODERS, load_scorers

    require_files([out], force)
    names: tuple[str, ...] = SPEAKER_ENCODERS
    if encoders is not None:
        names = tuple(name.strip() for name in encoders.split(",") if name.strip())
    for line in load_scorers(names).missing.values():
        click.echo(f"voiceae: {line}", err=True)
    known = trained_speakers(read_header(find_model(choice.model)).extra)
    clips, left_out = held_out_clips(kind, corpus, known)
    voice = choice.load()
    found, excluded = measure_embeddings(
        voice,
        group_by_speaker(clips, MIN_CLIPS),
        encoders=names,
        seed=seed,
        cache=None if no_cache else cache or default_cache(),
        jobs=jobs,
        progress=counted_progress,
    )
    cells = embedding_cells(found)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    counts = f"{found['clips']} clips of {found['speakers']} speakers"
    click.echo(f"{counts}, {found['through_other_channel']} of them through the other channel")
    for exclusion in excluded:
        click.echo(f"voiceae: left out: {exclusion.reason}", err=True)
    if left_out:
        click.echo(
            f"voiceae: left out: {len(left_out)} speakers or files: {next(iter(left_out.values()))}", err=True
        )
    if out:
        about = {"model": voice.name, "fingerprint": voice.fingerprint, "corpus": corpus.name, "seed": seed}
        write_json(out, {**about, **found})
    return 0
