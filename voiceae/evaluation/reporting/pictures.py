"""Pictures of a report: the map of the voices, the matrix of similarities, the mel and the melody of a clip."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voiceae.evaluation.evaluation import Evaluation
from voiceae.pretrained.scorers import F0_PERIOD_SECONDS, SAMPLE_RATE, Wav

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MAX_LABELS = 40  # of 6-point names on an 8-inch map; more cover each other
INK = "#7d8894"  # of axes and words: 3.6 to 1 on white and 4.9 to 1 on the dark page, as one picture serves both
F0_RANGE = (50.0, 500.0)  # Hz: what speech uses of the scorer's range


def embedding_map(evaluation: Evaluation) -> str | None:
    """Speakers and conversions on the principal axes of the speakers; colours are targets."""
    from matplotlib.colors import hsv_to_rgb

    natural, converted = _natural_embeddings(evaluation), _converted_embeddings(evaluation)
    if len(natural) < 3 or not converted:
        return None
    names = sorted(natural)
    centres = np.stack([natural[name].mean(axis=0) for name in names])
    middle = centres.mean(axis=0)
    axes = np.linalg.svd(centres - middle, full_matrices=False)[2][:2]
    # Evenly spaced hues, alternating in brightness, so that neighbours on the wheel differ too.
    hues = [(index / len(names), 0.8, 0.9 if index % 2 else 0.6) for index in range(len(names))]
    colours = dict(zip(names, hsv_to_rgb(hues).tolist(), strict=True))
    figure, plot = _figure(8, 6)
    for name, (x, y) in zip(names, (centres - middle) @ axes.T, strict=True):
        plot.scatter(x, y, s=70, marker="o", color=colours[name], edgecolor="black", linewidth=0.5)
        if len(names) <= MAX_LABELS:
            plot.annotate(name, (x, y), fontsize=6, color=INK, xytext=(4, 4), textcoords="offset points")
    for name, vector in converted:
        x, y = (vector - middle) @ axes.T
        plot.scatter(x, y, s=25, marker="x", color=colours.get(name, "grey"))
    plot.set_title("o natural speakers, x conversions in their target's colour")
    plot.set(xlabel="first axis", ylabel="second axis")
    return _encode(figure, plot)


def similarity_matrix(evaluation: Evaluation) -> str | None:
    """Mean cosine of the conversions to each target (rows) with natural speech of each speaker (columns)."""
    natural = _natural_embeddings(evaluation)
    converted: dict[str, list[Array]] = defaultdict(list)
    for name, vector in _converted_embeddings(evaluation):
        converted[name].append(vector)
    targets, names = sorted(converted), sorted(natural)
    if not targets or not names:
        return None
    matrix = [[float(np.mean(np.stack(converted[t]) @ natural[n].T)) for n in names] for t in targets]
    figure, plot = _figure(8, 7)
    picture = plot.imshow(matrix, aspect="auto", cmap="viridis", vmin=0.4, vmax=1.0)
    bar = figure.colorbar(picture)
    bar.set_label("cosine", color=INK)
    bar.ax.tick_params(colors=INK)
    plot.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    plot.set_yticks(range(len(targets)), targets, fontsize=6)
    plot.set(xlabel="natural speech of", ylabel="conversions to")
    return _encode(figure, plot)


def mel_picture(wav: Wav) -> str:
    """Address of a picture of a clip's mel without axes: (N,) at 16 kHz ->, low frequencies at the bottom."""
    import librosa
    from matplotlib.image import imsave

    mel = librosa.feature.melspectrogram(y=wav, sr=SAMPLE_RATE, n_fft=1024, hop_length=320, n_mels=64)
    buffer = io.BytesIO()
    imsave(
        buffer, librosa.power_to_db(mel, ref=np.max, top_db=70), cmap="magma", origin="lower", format="png"
    )
    return _address(buffer)


def melody_path(f0: list[float], seconds: float) -> str:
    """SVG path of an F0 contour in a box of 100 by 100, a line a voiced stretch; (T,) Hz, 0 where unvoiced."""
    low, high = np.log(F0_RANGE)
    path, voiced = "", False
    for frame, value in list(enumerate(f0))[::2]:  # 20 ms are enough for the eye
        if value > 0:
            x = 100 * frame * F0_PERIOD_SECONDS / seconds
            y = 100 * (1 - (np.log(np.clip(value, *F0_RANGE)) - low) / (high - low))
            path += f"{'L' if voiced else 'M'}{x:.1f} {y:.1f}"
        voiced = value > 0
    return path


def _natural_embeddings(evaluation: Evaluation) -> dict[str, Array]:
    """Embeddings of natural clips of the pairs by speaker, (n, S) each."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for pair in evaluation.pairs:
        for clip in (pair.source, pair.scored, pair.natural, pair.source_other):
            scored = evaluation.measurements.get(str(clip.path), {}).get("speaker") if clip else None
            if clip and isinstance(scored, dict):
                found[clip.speaker][str(clip.path)] = scored["embedding"]
    return {name: np.array(list(clips.values())) for name, clips in found.items()}


def _converted_embeddings(evaluation: Evaluation) -> list[tuple[str, Array]]:
    """Target and embedding of each conversion."""
    found = []
    for pair in evaluation.pairs:
        scored = evaluation.measurements.get(f"{pair.name}/conversion", {}).get("speaker")
        if isinstance(scored, dict):
            found.append((pair.scored.speaker, np.array(scored["embedding"])))
    return found


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _encode(figure: Figure, plot: Axes) -> str:
    """Address of a picture that is read on a light page and on a dark one."""
    plot.tick_params(colors=INK)
    for part in (plot.title, plot.xaxis.label, plot.yaxis.label):
        part.set_color(INK)
    for spine in plot.spines.values():
        spine.set_edgecolor(INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, transparent=True)
    return _address(buffer)


def _address(picture: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
