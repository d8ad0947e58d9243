"""The conversions that the README lets people hear, and the picture of their mels, made anew by a model.

    python recipes/demo/directions.py [--model base] [--vocoder default] [--out recipes/demo]

Writes OUT/converted/NAME.flac and OUT/mels.png; run it after another model is bundled, or with a model of your own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from demo import convert, draw  # noqa: E402  # beside this file

DIRECTIONS = {
    "woman-to-man": ("clips/slt_1.flac", "clips/rms_2.flac"),
    "man-to-woman": ("voices/michael.flac", "voices/emma.flac"),
    "woman-to-woman": ("voices/emma.flac", "voices/bella.flac"),
    "man-to-man": ("voices/awb.flac", "voices/george.flac"),
}
"""Source and target by the name of the converted file; the README's table has the same."""


def main() -> None:
    """Convert all directions and draw them; a bad input is one line and exit code 1."""
    from voiceae import VoiceAEError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="base", help="bundled name or model file")
    parser.add_argument("--vocoder", default="default", help="bundled name, vocoder file or HiFi-GAN folder")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for converted/ and mels.png")
    options = parser.parse_args()
    try:
        run(options.model, options.vocoder, options.out)
    except VoiceAEError as error:
        sys.exit(f"directions: error: {error}")


def run(model: str, vocoder: str, out: Path) -> None:
    """Convert every direction, and draw source, target and result of each in a column."""
    import voiceae
    from voiceae.io import audio as audio_io

    voice = voiceae.load(model, vocoder=vocoder, device="cpu")
    columns = {}
    for name, (source, target) in DIRECTIONS.items():
        converted = convert(voice, HERE / source, HERE / target, out / "converted" / f"{name}.flac")
        heard = {"source": audio_io.read(HERE / source), "target": audio_io.read(HERE / target)}
        columns[name.replace("-", " ")] = {**heard, "converted": converted}
    draw(voice, columns, out)


if __name__ == "__main__":
    main()
