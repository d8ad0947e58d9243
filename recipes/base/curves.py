"""What the model and the vocoder had learned after how much speech: metrics-*.jsonl of all legs -> curves.png.

python curves.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
MODEL = ("base-1", "base_gan-2", "base-3", "base_gan-4", "base-6")
LEGS = {
    "valid_speakers/reconstruction_raw": MODEL,
    "valid_speakers/kl_raw": MODEL,
    "valid_speakers/teacher_raw": ("speaker-5",),
    "valid_speakers/spectral_raw": ("vocoder", "vocoder_gan"),
    "valid_speakers/pitch_raw": ("vocoder", "vocoder_gan"),
}
LABELS = {
    "valid_speakers/reconstruction_raw": "model: mel error, nats per bin",
    "valid_speakers/kl_raw": "model: KL, nats per code frame",
    "valid_speakers/teacher_raw": "speaker encoder: 1 - cosine to the teacher",
    "valid_speakers/spectral_raw": "vocoder: spectral loss",
    "valid_speakers/pitch_raw": "vocoder: cross-entropy of the pitch",
}


def curve(figure: str) -> list[tuple[str, list[float], list[float]]]:
    """Name, frames of all legs so far in millions, and the figure, for each leg."""
    before, curves = 0.0, []
    for leg in LEGS[figure]:
        lines = (HERE / f"metrics-{leg}.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if figure in row]
        frames = [before + row["frames"] / 1e6 for row in rows]
        curves.append((leg, frames, [row[figure] for row in rows]))
        before = frames[-1]
    return curves


def main() -> None:
    """Draw all of them."""
    figure, axes = plt.subplots(1, len(LEGS), figsize=(4 * len(LEGS), 3.2), constrained_layout=True)
    for axis, name in zip(axes, LEGS, strict=True):
        for leg, frames, values in curve(name):
            axis.plot(frames, values, label=leg)
        axis.set(title=LABELS[name], xlabel="million mel frames")
        axis.legend(fontsize=7)
    figure.savefig(HERE / "curves.png", dpi=80)


if __name__ == "__main__":
    main()
