"""`voiceae mix`: a weighted mean of speakers, or the path between two."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import numbered, progress, require_files, require_sounds, write_json

EPILOG = """\b
Examples:
  voiceae mix alice.wav --speaker bob.wav:0.7 --speaker carol.wav:0.3 --out between.wav
  voiceae mix alice.wav --speaker bob --speaker carol --slerp --steps 9 --out path.wav

Weights count by their ratios; without any, all speakers count alike. A negative
one leads away from its voice. A speaker is a recording, a stored embedding
(FILE.npz:NAME) or a name of the bank (voiceae speakers).

--steps N also writes N voices on the path from the first speaker to the second:
path-1.wav to path-N.wav, path.png with their mels, similarities and pitches, and
the same figures in path.json."""


@click.command("mix", epilog=EPILOG)
@click.argument("source")
@click.option(
    "--speaker",
    "speakers",
    multiple=True,
    required=True,
    metavar="FILE[:WEIGHT]",
    help="A speaker and its weight; give several.",
)
@click.option(
    "--slerp",
    is_flag=True,
    help="Interpolate along the sphere of speaker embeddings, not straight through it.",
)
@click.option("--steps", type=click.IntRange(2), help="Also write so many voices on the path between two.")
@click.option(
    "--out", required=True, type=options.PATH, metavar="FILE", help="Result; its suffix is its format."
)
@options.bank
@options.voice()
@options.force
def command(
    source: str,
    speakers: tuple[str, ...],
    slerp: bool,
    steps: int | None,
    out: Path,
    bank: Path | None,
    choice: options.VoiceChoice,
    force: bool,
) -> int:
    """Convert SOURCE to a voice between the speakers."""
    from voiceae.conversion.speaker_profile import SpeakerProfile
    from voiceae.io import audio as audio_io
    from voiceae.latent.speakers.enrollment import profile_of_target
    from voiceae.latent.speakers.target_selection import normalised_weights, parse_weighted_name

    if steps and len(speakers) != 2:
        raise click.UsageError(f"--steps goes between two speakers, {len(speakers)} were given")
    # All that can be wrong with the names is said before the model is loaded.
    shares = [parse_weighted_name(speaker) for speaker in speakers]
    weights = normalised_weights(shares)
    require_sounds([out, *numbered(out, steps or 0)], force)
    require_files([out.with_suffix(suffix) for suffix in (".png", ".json")] if steps else [], force)
    voice = choice.load()
    profiles = [profile_of_target(voice, share.name, bank) for share in shares]
    mixed = voice.convert(source, SpeakerProfile.mean(profiles, weights, spherical=slerp))
    audio_io.write(out, mixed, force=force)
    if not steps:
        return 0

    from voiceae.latent.speakers.interpolation import draw_speaker_path, speaker_path

    ends, names = (profiles[0], profiles[1]), [share.name for share in shares]
    path = speaker_path(voice, source, ends, steps, spherical=slerp, progress=progress("mix", "voice"))
    for file, sound in zip(numbered(out, steps), path.sounds, strict=True):
        audio_io.write(file, sound, force=force)
    draw_speaker_path(path, [Path(name).stem for name in names], out.with_suffix(".png"), force=force)
    points = [point.to_dict() for point in path.points]
    write_json(out.with_suffix(".json"), {"speakers": names, "path": points})
    return 0
