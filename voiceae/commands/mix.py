"""`voiceae mix`: a voice between voices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from voiceae.commands.options import PATH, bank_option, force_option, model_options

if TYPE_CHECKING:
    from voiceae.conversion.speaker_profile import SpeakerProfile
    from voiceae.conversion.voice import Voice

EPILOG = """\b
Examples:
  voiceae mix alice.wav --speaker bob.wav:0.7 --speaker carol.wav:0.3 --out between.wav
  voiceae mix alice.wav --speaker bob --speaker carol --slerp --steps 9 --out way.wav
\b
Weights count by their ratios; without any, all speakers count alike. A negative
one leads away from its voice. A speaker is a recording, a stored embedding
(FILE.npz:NAME) or a name of the bank (voiceae speakers).
\b
--steps N also writes N voices on the way from the first speaker to the second:
way-1.wav to way-N.wav, way.png with their mels, likenesses and pitches, and the
same figures in way.json."""


@click.command("mix", epilog=EPILOG)
@click.argument("source")
@click.option(
    "--speaker",
    "speakers",
    multiple=True,
    required=True,
    metavar="FILE[:WEIGHT]",
    help="A voice and how much of it; give several.",
)
@click.option(
    "--slerp", is_flag=True, help="Go along the sphere of speaker vectors, not straight through it."
)
@click.option("--steps", type=click.IntRange(2), help="Also write a way of so many voices between two.")
@click.option("--out", required=True, type=PATH, metavar="FILE", help="Result; its suffix is its format.")
@bank_option
@model_options()
@force_option
def command(
    source: str,
    speakers: tuple[str, ...],
    slerp: bool,
    steps: int | None,
    out: Path,
    bank: Path | None,
    model: str,
    vocoder: str,
    device: str,
    force: bool,
) -> int:
    """Speak SOURCE in a voice between the speakers."""
    from voiceae.commands.options import numbered, require_files, require_sounds
    from voiceae.conversion.speaker_profile import SpeakerProfile
    from voiceae.conversion.voice import load
    from voiceae.io import audio as audio_io
    from voiceae.latent.enrollment import profile_of_target
    from voiceae.latent.weighted_names import parse_weighted_name, weights_of

    if steps and len(speakers) != 2:
        raise click.UsageError(f"--steps goes between two speakers, {len(speakers)} were given")
    shares = [parse_weighted_name(speaker) for speaker in speakers]
    weights = weights_of(shares)
    require_sounds([out, *numbered(out, steps or 0)], force)
    require_files([out.with_suffix(suffix) for suffix in (".png", ".json")] if steps else [], force)
    voice = load(model, vocoder, device)
    profile = [profile_of_target(voice, share.name, bank) for share in shares]
    audio_io.write(
        out, voice.convert(source, SpeakerProfile.mean(profile, weights, spherical=slerp)), force=force
    )
    if steps:
        _write_way(
            voice,
            source,
            (profile[0], profile[1]),
            [share.name for share in shares],
            out,
            steps,
            slerp,
            force,
        )
    return 0


def _write_way(
    voice: Voice,
    source: str,
    ends: tuple[SpeakerProfile, SpeakerProfile],
    names: list[str],
    out: Path,
    steps: int,
    slerp: bool,
    force: bool,
) -> None:
    from voiceae.commands.options import bar, numbered, write_json
    from voiceae.io import audio as audio_io
    from voiceae.latent.speaker_interpolation import draw_speaker_path, speaker_path

    way = speaker_path(voice, source, ends, steps, spherical=slerp, watch=bar("mix", "voice"))
    for path, sound in zip(numbered(out, steps), way.sounds, strict=True):
        audio_io.write(path, sound, force=force)
    draw_speaker_path(way, [Path(name).stem for name in names], out.with_suffix(".png"), force=force)
    write_json(
        out.with_suffix(".json"), {"speakers": names, "way": [point.to_dict() for point in way.points]}
    )
