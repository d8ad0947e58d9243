"""`voiceae units`: speech as text, for models with a discrete bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.commands.options import PATH, bank_option, force_option, model_options

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure
    from voiceae.conversion.voice import Voice
    from voiceae.latent.unit_tree import Purity
    from voiceae.latent.units import UnitLine

EPILOG = """\b
Examples:
  voiceae units encode recordings/ --model vq.safetensors --out units.txt
  voiceae units encode a.wav --model vq.safetensors --pitch --out a.txt
  voiceae units decode a.txt --target bob.wav --model vq.safetensors --out spoken/
  voiceae units tree recordings/ --model vq.safetensors --out tree.png
\b
A line of the text is a recording: its name, a tab, its codes; with --pitch
another tab and semitones about its median. Needs a model with a discrete
bottleneck, such as one trained with model/bottleneck=vq."""


@click.group("units", epilog=EPILOG)
def command() -> None:
    """Write speech as units, speak units, and draw the tree of a codebook."""


@command.command("encode", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--out", required=True, type=PATH, metavar="TXT", help="Text to write.")
@click.option("--collapse", is_flag=True, help="Write runs of equal codes once; how long they last is lost.")
@click.option("--pitch", is_flag=True, help="Also write the melody.")
@model_options(vocoder=False)
@force_option
def encode(
    paths: tuple[str, ...], out: Path, collapse: bool, pitch: bool, model: str, device: str, force: bool
) -> int:
    """Turn recordings into text, and say how many bits per second it takes."""
    from voiceae.commands.options import bar, require_files, tell
    from voiceae.conversion.batch import Failure
    from voiceae.latent.units import UnitText, codes_per_second, encode_units, write_units

    if collapse and pitch:
        raise click.UsageError("--pitch goes with every frame, --collapse has none left; use one of them")
    from voiceae.io.filesystem import FILE_ERRORS, reason

    failures: list[Failure] = []
    files, voice = _start(paths, model, device, failures)
    total = len(files) + len(failures)
    require_files([out], force)
    lines: list[UnitLine] = []
    for file in bar("encode", "file")(files):
        try:
            lines.append(encode_units(voice, file, str(file), pitch=pitch))
        except FILE_ERRORS as error:
            failures.append(Failure(str(file), reason(error, file)))
    if lines:
        write_units(
            out, UnitText(tuple(lines), codes_per_second(voice), collapse, voice.fingerprint), force=force
        )
        click.echo(f"{out}: {_rates(voice, lines)}")
    return tell(failures, total, "files")


def _start(
    paths: tuple[str, ...], model: str, device: str, closed: list[Failure]
) -> tuple[list[Path], Voice]:
    """Recordings, and a model with units; folders that cannot be opened go to `closed`."""
    from voiceae.conversion.batch import find_recordings
    from voiceae.conversion.voice import load
    from voiceae.latent.units import require_units

    files = list(find_recordings(paths, closed))
    voice = load(model, "griffinlim", device)
    require_units(voice)
    return files, voice


def _rates(voice: Voice, lines: list[UnitLine]) -> str:
    from voiceae.latent.units import bit_rates, codes_per_second, require_units

    rates = bit_rates(lines, require_units(voice).size, codes_per_second(voice))
    return (
        f"{rates.used} of {rates.size} codes in {rates.seconds:.1f} s; {rates.fixed:.0f} bits per second at fixed "
        f"length, {rates.entropy:.0f} by entropy, {rates.collapsed:.0f} with runs collapsed (of "
        f"{rates.mean_run:.2f} frames)"
    )


@command.command("decode", epilog=EPILOG)
@click.argument("text", type=PATH, metavar="TXT")
@click.option("--target", required=True, metavar="FILE", help="Voice to speak in.")
@click.option("--name", help="Only the recording of this name.")
@click.option(
    "--frames-each",
    type=click.IntRange(1),
    help="Code frames that a written code lasts; 1 by default, 2 for collapsed text.",
)
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Folder of the sounds.")
@bank_option
@model_options()
@force_option
def decode(
    text: Path,
    target: str,
    name: str | None,
    frames_each: int | None,
    out: Path,
    bank: Path | None,
    model: str,
    vocoder: str,
    device: str,
    force: bool,
) -> int:
    """Speak a text of units; without a written melody the pitch stays level."""
    from voiceae.commands.options import bar, require_sounds
    from voiceae.conversion.voice import load
    from voiceae.io import audio as audio_io
    from voiceae.latent.enrollment import profile_of_target
    from voiceae.latent.units import decode_units, pick_line, read_units

    voice = load(model, vocoder, device)
    read = read_units(text, voice.fingerprint)
    lines = pick_line(read, name)
    places = _places(out, lines)
    require_sounds(places, force)
    speaker = profile_of_target(voice, target, bank)
    each = frames_each or (2 if read.collapsed else 1)
    for place, line in zip(places, bar("decode", "line")(lines), strict=True):
        mel = decode_units(voice, line, speaker, frames_each=each)
        audio_io.write(place, voice.synthesise(mel), force=force)
    return 0


def _places(out: Path, lines: Sequence[UnitLine]) -> list[Path]:
    """Names of the sounds: numbered, since recordings of one name may lie in several folders."""
    digits = len(str(len(lines)))
    return [out / f"{number:0{digits}d}-{Path(line.name).stem}.wav" for number, line in enumerate(lines, 1)]


@command.command("tree", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--out", required=True, type=PATH, metavar="PNG", help="Picture; the figures go beside it, as .json."
)
@click.option("--no-phones", is_flag=True, help="Do not ask the recogniser what the codes stand for.")
@model_options(vocoder=False)
@force_option
def tree(paths: tuple[str, ...], out: Path, no_phones: bool, model: str, device: str, force: bool) -> int:
    """Draw the tree of the codes in use, above the phones that a recogniser hears in them."""
    from voiceae.commands.options import require_files, tell, write_json
    from voiceae.errors import ConfigError
    from voiceae.latent.plotting import require_picture_path
    from voiceae.latent.unit_tree import MOST_CODES, codebook, draw_tree

    require_picture_path(out, force)
    require_files([out.with_suffix(".json")], force)
    closed: list[Failure] = []
    files, voice = _start(paths, model, device, closed)
    purity, failures = _count(voice, files, no_phones)
    if len(purity.codes) < 2:
        raise ConfigError(
            f"only {len(purity.codes)} code is in use: there is no tree to draw; give more speech"
        )
    drawn = purity.top(MOST_CODES)
    codes, profile = drawn.codes, bool(drawn.phones)
    draw_tree(codebook(voice, codes), codes, drawn if profile else None, out, force=force)
    figures: dict[str, Any] = {"codes": [int(code) for code in purity.codes]}
    figures["phones"] = purity.to_dict() if profile else None
    write_json(out.with_suffix(".json"), figures)
    click.echo(f"{out}: {len(purity.codes)} codes{_purity(purity) if profile else ''}")
    return tell([*closed, *failures], len(files) + len(closed), "files")


def _count(voice: Voice, files: list[Path], no_phones: bool) -> tuple[Purity, list[Failure]]:
    """Codes with the phones that go with them, or with no phones where nobody is to be asked."""
    from voiceae.commands.options import bar
    from voiceae.errors import ConfigError
    from voiceae.latent.unit_tree import count_codes, listen_for_phones
    from voiceae.pretrained.recogniser import recogniser

    if not no_phones:
        try:
            return listen_for_phones(voice, recogniser(), files, bar("listen", "file"))
        except ConfigError as error:
            click.echo(f"voiceae: {error}", err=True)
    return count_codes(voice, bar("encode", "file")(files))


def _purity(purity: Purity) -> str:
    shuffled = purity.shuffled()
    return (
        f"; purity {purity.purity:.1%} (one code for all: {purity.chance:.1%}, shuffled: {shuffled.purity:.1%}), "
        f"{purity.information:.1%} of the phone known from the code (shuffled: {shuffled.information:.1%})"
    )
