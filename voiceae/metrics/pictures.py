"""Pictures of an evaluation, as PNG inside a data address."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voiceae.metrics.evaluation import Evaluation, row_key
from voiceae.metrics.judges import F0_PERIOD_SECONDS, SAMPLE_RATE
from voiceae.metrics.pairs import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MOST_LABELS = 40  # beyond them names would cover each other


def embedding_map(evaluation: Evaluation) -> str | None:
    """Speakers and conversions on the principal axes of the speakers; colours are targets."""
    natural, converted = _natural(evaluation), _converted(evaluation)
    if len(natural) < 3 or not converted:
        return None
    names = sorted(natural)
    centres = np.stack([natural[name].mean(axis=0) for name in names])
    middle = centres.mean(axis=0)
    axes = np.linalg.svd(centres - middle, full_matrices=False)[2][:2]
    colours = {name: _colour(index, len(names)) for index, name in enumerate(names)}
    figure, plot = _figure(8, 6)
    for name, centre in zip(names, (centres - middle) @ axes.T, strict=True):
        plot.scatter(
            centre[0], centre[1], s=70, marker="o", color=colours[name], edgecolor="black", linewidth=0.5
        )
        if len(names) <= MOST_LABELS:
            plot.annotate(name, centre, fontsize=6, xytext=(4, 4), textcoords="offset points")
    for name, vector in converted:
        x, y = (vector - middle) @ axes.T
        plot.scatter(x, y, s=25, marker="x", color=colours.get(name, "grey"))
    plot.set(
        title="o natural speakers, x conversions in their target's colour",
        xlabel="first axis",
        ylabel="second axis",
    )
    return _encode(figure)


def similarity_matrix(evaluation: Evaluation) -> str | None:
    """Mean cosine of the conversions to each target (rows) with natural speech of each speaker (columns)."""
    natural = _natural(evaluation)
    converted: dict[str, list[Array]] = defaultdict(list)
    for name, vector in _converted(evaluation):
        converted[name].append(vector)
    targets, names = sorted(converted), sorted(natural)
    if not targets or not names:
        return None
    matrix = [[float(np.mean(np.stack(converted[t]) @ natural[n].T)) for n in names] for t in targets]
    figure, plot = _figure(8, 7)
    picture = plot.imshow(matrix, aspect="auto", cmap="viridis", vmin=0.4, vmax=1.0)
    figure.colorbar(picture, label="cosine")
    plot.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    plot.set_yticks(range(len(targets)), targets, fontsize=6)
    plot.set(xlabel="natural speech of", ylabel="conversions to")
    return _encode(figure)


def example_picture(pair: Pair, evaluation: Evaluation, rows: Sequence[str]) -> str:
    """Mel pictures of some rows of a pair with the F0 contour on a second axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(rows), 2.4), layout="constrained")
    for plot, row in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows, strict=True):
        key = row_key(row, pair)
        _draw_mel(plot, evaluation.waves[key].wav)
        _draw_f0(plot.twinx(), evaluation.findings.get(key, {}).get("pitch"))
        plot.set_title(row, fontsize=9)
    return _encode(figure)


def _draw_mel(plot: Axes, wav: NDArray[np.float32]) -> None:
    import librosa

    mel = librosa.feature.melspectrogram(y=wav, sr=SAMPLE_RATE, n_fft=1024, hop_length=320, n_mels=64)
    extent = (0.0, len(wav) / SAMPLE_RATE, 0.0, 64.0)
    decibels = librosa.power_to_db(mel, ref=np.max, top_db=70)
    plot.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma")
    plot.set(xlabel="seconds", yticks=[])


def _draw_f0(plot: Axes, found: Any) -> None:
    if isinstance(found, dict):
        f0 = np.array(found["f0"])
        plot.plot(
            np.arange(len(f0)) * F0_PERIOD_SECONDS, np.where(f0 > 0, f0, np.nan), color="cyan", linewidth=1
        )
    plot.set_ylim(50, 450)
    plot.tick_params(labelsize=6)


def _natural(evaluation: Evaluation) -> dict[str, Array]:
    """Embeddings of natural clips of the pairs by speaker, (n, S) each."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for pair in evaluation.pairs:
        for clip in (pair.source, pair.scored, pair.natural, pair.source_other):
            heard = evaluation.findings.get(str(clip.path), {}).get("speaker") if clip else None
            if clip and isinstance(heard, dict):
                found[clip.speaker][str(clip.path)] = heard["embedding"]
    return {name: np.array(list(clips.values())) for name, clips in found.items()}


def _converted(evaluation: Evaluation) -> list[tuple[str, Array]]:
    """Target and embedding of each conversion."""
    found = [
        (pair.scored.speaker, evaluation.findings.get(f"{pair.name}/conversion", {}).get("speaker"))
        for pair in evaluation.pairs
    ]
    return [(name, np.array(heard["embedding"])) for name, heard in found if isinstance(heard, dict)]


def _colour(index: int, count: int) -> tuple[float, float, float]:
    """Evenly spaced hues, alternating in brightness."""
    from matplotlib.colors import hsv_to_rgb

    red, green, blue = hsv_to_rgb((index / count, 0.8, 0.9 if index % 2 else 0.6))
    return float(red), float(green), float(blue)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _encode(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
