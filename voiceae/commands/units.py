"""`voiceae units`: speech as discrete units, for models with a discrete bottleneck."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from voiceae.commands import options
from voiceae.commands.options import (
    find_recordings,
    progress,
    report_failures,
    require_files,
    require_sounds,
    try_each,
    write_json,
)

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure
    from voiceae.conversion.voice import Voice
    from voiceae.latent.unit_tree import Purity

EPILOG = """\b
Examples:
  voiceae units encode recordings/ --model vq.safetensors --out units.txt
  voiceae units encode a.wav --model vq.safetensors --pitch --out a.txt
  voiceae units decode a.txt --target bob.wav --model vq.safetensors --out spoken/
  voiceae units tree recordings/ --model vq.safetensors --out tree.png

A line of the text is a recording: its name, a tab, its codes; with --pitch
another tab and semitones relative to its median. Needs a model with a discrete
bottleneck, such as one trained with model/bottleneck=vq."""


@click.group("units", epilog=EPILOG)
def command() -> None:
    """Write speech as discrete units, decode units to speech, and draw the tree of a codebook."""


@command.command("encode", epilog=EPILOG)
@options.recordings
@click.option("--out", required=True, type=options.PATH, metavar="TXT", help="Text to write.")
@click.option("--collapse", is_flag=True, help="Write runs of equal codes once; their durations are lost.")
@click.option("--pitch", is_flag=True, help="Also write the pitch contour.")
@options.voice(sound=False)
@options.force
def encode(
    paths: tuple[str, ...], out: Path, collapse: bool, pitch: bool, choice: options.VoiceChoice, force: bool
) -> int:
    """Turn recordings into text, and print how many bits per second it takes."""
    from voiceae.latent.units import (
        UnitText,
        bit_rates,
        codes_per_second,
        encode_units,
        require_units,
        write_units,
    )

    if collapse and pitch:
        raise click.UsageError("--pitch goes with every frame, --collapse has none left; use one of them")
    files, failures = find_recordings(paths)
    total = len(files) + len(failures)
    voice = choice.load()
    codebook = require_units(voice)
    require_files([out], force)
    encoded, bad = try_each(
        files, lambda file: encode_units(voice, file, str(file), pitch=pitch), progress("encode", "file")
    )
    if encoded:
        rate, lines = codes_per_second(voice), list(encoded.values())
        write_units(out, UnitText(tuple(lines), rate, collapse, voice.fingerprint), force=force)
        bits = bit_rates(lines, codebook.size, rate)
        click.echo(
            f"{out}: {bits.used} of {bits.size} codes in {bits.seconds:.1f} s; {bits.fixed:.0f} bits per second "
            f"at fixed length, {bits.entropy:.0f} by entropy, {bits.collapsed:.0f} with runs collapsed (of "
            f"{bits.mean_run:.2f} frames)"
        )
    return report_failures([*failures, *bad], total, "files")


@command.command("decode", epilog=EPILOG)
@click.argument("text", type=options.PATH, metavar="TXT")
@click.option("--target", required=True, metavar="FILE", help="Target speaker, as for convert.")
@click.option("--name", help="Only the recording of this name.")
@click.option(
    "--frames-each",
    type=click.IntRange(1),
    help="Duration of a written code in code frames; 1 by default, 2 for collapsed text.",
)
@click.option("--out", required=True, type=options.PATH, metavar="DIR", help="Folder of the sounds.")
@options.bank
@options.voice()
@options.force
def decode(
    text: Path,
    target: str,
    name: str | None,
    frames_each: int | None,
    out: Path,
    bank: Path | None,
    choice: options.VoiceChoice,
    force: bool,
) -> int:
    """Synthesise a text of units; without a written pitch contour the pitch stays level."""
    from voiceae.io import audio as audio_io
    from voiceae.latent.speakers.enrollment import profile_of_target
    from voiceae.latent.units import decode_units, pick_line, read_units

    voice = choice.load()
    read = read_units(text, voice.fingerprint)
    lines = pick_line(read, name)
    # Numbered, since recordings of one name may lie in several folders.
    digits = len(str(len(lines)))
    sounds = [out / f"{number:0{digits}d}-{Path(line.name).stem}.wav" for number, line in enumerate(lines, 1)]
    require_sounds(sounds, force)
    speaker = profile_of_target(voice, target, bank)
    each = frames_each or (2 if read.collapsed else 1)
    for sound, line in zip(sounds, progress("decode", "line")(lines), strict=True):
        mel = decode_units(voice, line, speaker, frames_each=each)
        audio_io.write(sound, voice.synthesise(mel), force=force)
    return 0


@command.command("tree", epilog=EPILOG)
@options.recordings
@click.option(
    "--out",
    required=True,
    type=options.PATH,
    metavar="PNG",
    help="Picture; the figures go beside it, as .json.",
)
@click.option("--no-phones", is_flag=True, help="Do not align the codes with a recogniser's phones.")
@options.voice(sound=False)
@options.force
def tree(paths: tuple[str, ...], out: Path, no_phones: bool, choice: options.VoiceChoice, force: bool) -> int:
    """Draw the tree of the codes in use, above the phones that a recogniser aligns with them."""
    from voiceae.errors import ConfigError
    from voiceae.latent.plotting import require_picture_path
    from voiceae.latent.unit_tree import MAX_CODES, draw_tree
    from voiceae.latent.units import codebook, require_units

    require_picture_path(out, force)
    require_files([out.with_suffix(".json")], force)
    files, closed = find_recordings(paths)
    voice = choice.load()
    require_units(voice)
    purity, failures = _count(voice, list(files), no_phones)
    if len(purity.codes) < 2:
        raise ConfigError(
            f"only {len(purity.codes)} code is in use: there is no tree to draw; give more speech"
        )
    drawn = purity.top(MAX_CODES)
    aligned = bool(drawn.phones)
    draw_tree(codebook(voice, drawn.codes), drawn.codes, drawn if aligned else None, out, force=force)
    phones = purity.to_dict() if aligned else None
    write_json(out.with_suffix(".json"), {"codes": [int(code) for code in purity.codes], "phones": phones})
    click.echo(f"{out}: {len(purity.codes)} codes{_summary(purity) if aligned else ''}")
    return report_failures([*closed, *failures], len(files) + len(closed), "files")


def _count(voice: Voice, files: list[Path], no_phones: bool) -> tuple[Purity, list[Failure]]:
    """Codes with the phones they coincide with; without phones where there is no recogniser."""
    from voiceae.errors import ConfigError
    from voiceae.latent.unit_tree import align_phones
    from voiceae.pretrained.scorers import recogniser

    if not no_phones:
        try:
            return align_phones(voice, recogniser(), files, progress("align", "file"))
        except ConfigError as error:
            click.echo(f"voiceae: {error}", err=True)
    return align_phones(voice, None, files, progress("encode", "file"))


def _summary(purity: Purity) -> str:
    # Purity rises with the number of codes alone; the same codes shuffled show how much of it that is.
    shuffled = purity.shuffled()
    return (
        f"; purity {purity.purity:.1%} (one code for all: {purity.chance:.1%}, shuffled: {shuffled.purity:.1%}), "
        f"{purity.information:.1%} of the phone known from the code (shuffled: {shuffled.information:.1%})"
    )
