"""The main job on two clips: A in the voice of B and back, both embeddings, and a picture of the mels."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceae import Voice
    from voiceae.io.audio import Audio

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the demo and say where things are; a bad input is one line and exit code 1."""
    from voiceae import VoiceAEError

    try:
        run(arguments())
    except VoiceAEError as error:
        sys.exit(f"demo: error: {error}")


def arguments() -> argparse.Namespace:
    """Options of the demo; with none, the clips beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=HERE / "clips" / "slt_1.flac", help="speaker A")
    parser.add_argument("--target", type=Path, default=HERE / "clips" / "rms_2.flac", help="speaker B")
    parser.add_argument("--model", default="base", help="bundled name or model file")
    parser.add_argument("--vocoder", default="default", help="bundled name, vocoder file or HiFi-GAN folder")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder for the results")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Convert both ways, embed, draw, and report."""
    import numpy as np

    import voiceae
    from voiceae.io import audio as audio_io
    from voiceae.io.filesystem import atomic_path

    out: Path = options.out
    a, b = options.source, options.target
    voice = voiceae.load(options.model, vocoder=options.vocoder)
    there = convert(voice, a, b, out / f"{a.stem}-as-{b.stem}.wav")
    back = convert(voice, b, a, out / f"{b.stem}-as-{a.stem}.wav")
    embedded = {
        name: voice.embed(clip) for name, clip in {"A": a, "B": b, "A as B": there, "B as A": back}.items()
    }
    with atomic_path(out / "embeddings.npz") as path:
        np.savez(path, **{name.replace(" ", "_"): vector for name, vector in embedded.items()})
    clips = {"source": audio_io.read(a), "target": audio_io.read(b), "converted": there}
    draw(voice, {f"{a.stem} to {b.stem}": clips}, out)

    print(f"\nas {voice.name} hears it       cosine to A   cosine to B")
    for name in ("A as B", "B as A"):
        print(f"  {name:23} {embedded[name] @ embedded['A']:10.2f} {embedded[name] @ embedded['B']:13.2f}")
    print(f"\nresults in {out}: " + ", ".join(sorted(path.name for path in out.iterdir())))


def convert(voice: Voice, source: Path, target: Path, out: Path) -> Audio:
    """Convert one clip, write it and say how long it took."""
    from voiceae.io import audio as audio_io

    start = time.perf_counter()
    audio = voice.convert(source, target)
    seconds = time.perf_counter() - start
    audio_io.write(out, audio, force=True)
    took = f"{audio.seconds:.1f} s of audio in {seconds:.1f} s"
    print(f"{source.name} in the voice of {target.name}: {out.name} ({took})")
    return audio


def draw(voice: Voice, columns: dict[str, dict[str, Audio]], out: Path) -> None:
    """Log-mels of some clips under each other, a column a conversion, as OUT/mels.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    from voiceae.io.filesystem import atomic_path

    rows = len(next(iter(columns.values())))
    size = (8 if len(columns) == 1 else 3.2 * len(columns), 1.75 * rows)
    figure, axes = pyplot.subplots(
        rows, len(columns), figsize=size, sharex="col", sharey=True, squeeze=False, layout="constrained"
    )
    for column, (title, clips) in zip(axes.T, columns.items(), strict=True):
        longest = 0.0
        for axis, (name, audio) in zip(column, clips.items(), strict=True):
            mel = voice.mel(audio).cpu().numpy()
            seconds = mel.shape[1] / voice.spec.frame_rate
            # The quietest parts say nothing and would take half of the colours.
            top, longest = mel.max(), max(longest, seconds)
            shown = {"origin": "lower", "aspect": "auto", "vmin": top - 9, "vmax": top}
            axis.imshow(mel, extent=(0, seconds, 0, len(mel)), **shown)
            axis.set_ylabel(f"{name}\nmel bin")
            axis.label_outer()
        column[0].set(title=title, xlim=(0, longest))
        column[-1].set_xlabel("time (s)")
    with atomic_path(out / "mels.png") as path:
        figure.savefig(path, dpi=90)
        Image.open(path).quantize(48).save(path, optimize=True)  # a fifth of the size, and looks the same
    pyplot.close(figure)


if __name__ == "__main__":
    main()
