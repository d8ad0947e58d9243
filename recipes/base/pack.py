"""Corpora as small packs: every recording as Opus, in tar files of so many MiB, for a machine without a network.

    python recipes/base/pack.py SPEAKERS [MORE ...] --out PACKS [--name speech] [--kbits 16] [--mib 60] [--jobs 2]

A corpus is a folder with a subfolder for each speaker; a speaker who is in several goes into one. Writes
PACKS/NAME-1.tar, PACKS/NAME-2.tar, ..., a speaker whole in one of them. Lengths stay what they were to a sample of the
rate that is kept (the highest of 24, 16, 12 and 8 kHz that the recording has), so aligned recordings stay aligned.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import joblib
import soundfile

from voiceae.errors import VoiceAEError
from voiceae.io import audio as audio_io

RATES = (24000, 16000, 12000, 8000)
SUFFIXES = {".opus", ".ogg", ".flac", ".wav", ".mp3"}
# libsndfile maps a compression level from 0 to 1 onto 256 down to 6 kbit/s.
MOST_KBITS, LEAST_KBITS = 256.0, 6.0
MIB = 1 << 20
_BLOCK = 512  # of a tar file: a header before every file, and files filled up to whole blocks


def encoded(path: Path, kbits: float) -> bytes:
    """A recording as mono Opus."""
    own = audio_io.info(path).sample_rate
    rate = next((rate for rate in RATES if rate <= own), RATES[-1])
    wav = audio_io.load(path, sample_rate=rate).wav
    file = io.BytesIO()
    level = (MOST_KBITS - kbits) / (MOST_KBITS - LEAST_KBITS)
    soundfile.write(file, wav, rate, format="OGG", subtype="OPUS", compression_level=level)
    return file.getvalue()


def recordings(corpora: list[Path]) -> Iterator[tuple[str, Path]]:
    """Names in the pack and paths of all recordings, speaker by speaker.

    Raises:
        SystemExit: where two corpora have a recording of one name of one speaker.
    """
    found: dict[str, Path] = {}
    for corpus in corpora:
        for path in sorted(path for path in corpus.rglob("*") if path.suffix.lower() in SUFFIXES):
            name = str(path.relative_to(corpus).with_suffix(".opus"))
            if name in found:
                sys.exit(
                    f"pack: error: {path}: {found[name]} would have its name; pack the corpora one by one"
                )
            found[name] = path
    yield from sorted(found.items(), key=lambda item: (item[0].split("/")[0], item[0]))


def packed(files: Iterator[tuple[str, bytes]], most: int) -> Iterator[list[tuple[str, bytes]]]:
    """Files in groups whose tar files have at most `most` bytes; those of a speaker together."""
    speakers: dict[str, list[tuple[str, bytes]]] = {}
    for name, data in files:
        speakers.setdefault(name.split("/")[0], []).append((name, data))
    pack: list[tuple[str, bytes]] = []
    for own in speakers.values():
        if tar_bytes(own) > most:
            sys.exit(f"pack: error: {own[0][0].split('/')[0]}: takes more than a pack; raise --mib")
        if tar_bytes([*pack, *own]) > most:
            yield pack
            pack = []
        pack += own
    if pack:
        yield pack


def tar_bytes(files: list[tuple[str, bytes]]) -> int:
    """Size of a tar file, with the 10 KiB that its end may take."""
    return sum(_BLOCK * (1 + -(-len(data) // _BLOCK)) for _, data in files) + tarfile.RECORDSIZE


def main() -> None:
    """Encode, pack, and say what came of it; a bad input is one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="speech")
    parser.add_argument("--kbits", type=float, default=16, help="of a second of speech")
    parser.add_argument("--mib", type=float, default=60, help="size of a pack at most")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    found = dict(recordings(given.corpora))
    if not found:
        sys.exit(
            f"pack: error: {given.corpora[0]}: no recordings; give folders with a subfolder for each speaker"
        )
    try:
        coded = joblib.Parallel(given.jobs, return_as="generator")(
            joblib.delayed(encoded)(path, given.kbits) for path in found.values()
        )
        given.out.mkdir(parents=True, exist_ok=True)
        for number, pack in enumerate(packed(zip(found, coded, strict=True), int(given.mib * MIB)), 1):
            out = given.out / f"{given.name}-{number}.tar"
            with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
                for name, data in pack:
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    tar.addfile(about, io.BytesIO(data))
            print(f"{out}: {len(pack)} recordings, {out.stat().st_size / MIB:.1f} MiB", flush=True)
    except VoiceAEError as error:
        sys.exit(f"pack: error: {error}")


if __name__ == "__main__":
    main()
