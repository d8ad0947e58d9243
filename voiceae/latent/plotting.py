"""Plots of the latent space: maps of speakers, similarity matrices, and the style that all plots share."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.embedding_files import EmbeddingTable
from voiceae.errors import OutputError, printable
from voiceae.io.filesystem import atomic_path, require_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER, GRID = "#222831", "#ffffff", "#e6e8eb"
FIRST, SECOND, THIRD = "#1f77b4", "#d1495b", "#7a7f87"


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of so many inches, without a display or state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, *, force: bool = False) -> None:
    """Write a picture; its suffix is its format.

    Raises:
        OutputError: for an unknown suffix, an existing file without `force`, or a full disk.
    """
    path = require_picture_path(path, force)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().lstrip("."))


def style_axes(plot: Axes, title: str = "") -> Axes:
    """Give axes a title and a grid, and no box."""
    plot.set_title(title, color=INK, loc="left", fontsize=11)
    plot.grid(color=GRID, linewidth=0.8)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    return plot


def mel_strip(plot: Axes, mel: NDArray[Any], limits: tuple[float, float], title: str = "") -> None:
    """A log-mel as a picture: (M, T)."""
    image = plot.imshow(mel, origin="lower", aspect="auto", cmap="magma", interpolation="nearest")
    image.set_clim(*limits)
    plot.set_xticks([])
    plot.set_yticks([])
    plot.spines[:].set_visible(False)
    plot.set_title(title, color=INK, loc="left", fontsize=9)


def mel_limits(mels: Iterable[NDArray[Any]]) -> tuple[float, float]:
    """Colour limits for log-mels that are drawn side by side: all but the extremes, which hide the rest."""
    low, high = np.quantile(np.concatenate([mel.ravel() for mel in mels]), [0.05, 0.995])
    return float(low), float(high)


_MAX_LABEL_LENGTH = 40  # letters, 2.8 inches on the map
PICTURE_SUFFIXES = (".png", ".pdf", ".svg")
_MAX_LABELS = 60  # speakers; beyond them names would cover each other
_SIDE_INCHES = 6.4  # of the square map, where names of eight points take 0.07 inch a letter
_MARGIN = 0.06  # share of the map on either side, room for names


def require_picture_path(path: str | Path, force: bool) -> Path:
    """Refuse a picture's path before the work is done rather than after it.

    Raises:
        OutputError: for another suffix than `PICTURE_SUFFIXES`, or an existing file without `force`.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise OutputError(
            f"{path}: pictures are drawn as {', '.join(PICTURE_SUFFIXES)}; give a name that ends so"
        )
    require_new(path, force)
    import matplotlib  # noqa: F401  # an optional library: where it is missing, that too is said beforehand

    return path


def principal_axes(embeddings: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal components: (n, S) -> coordinates (n, 2), share of variance of each axis (2,).

    The sign of an axis is fixed by its largest coordinate, so that a picture does not flip between runs.
    """
    centred = np.asarray(embeddings, np.float64) - np.mean(embeddings, axis=0, dtype=np.float64)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    axes = (left * scale)[:, :2]
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)
    variance = np.pad(scale**2, (0, 2))
    return axes, variance[:2] / max(variance.sum(), 1e-12)


def similarity_matrix(table: EmbeddingTable) -> NDArray[np.float64]:
    """Mean cosine between the files of every two speakers: () -> (speakers, speakers).

    On the diagonal a speaker's different files are compared; it is NaN for a speaker with one file.
    """
    owners = np.array([table.speaker_names.index(owner) for owner in table.speakers])
    members = np.eye(len(table.speaker_names))[owners]
    counts = members.sum(axis=0)
    embeddings = table.embeddings.astype(np.float64)
    sums = members.T @ embeddings
    total, pairs = sums @ sums.T, np.outer(counts, counts)
    selves = members.T @ (embeddings**2).sum(axis=1)
    np.fill_diagonal(total, total.diagonal() - selves)
    np.fill_diagonal(pairs, counts * (counts - 1))
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan)


def write_similarity(table: EmbeddingTable, path: str | Path, *, force: bool = False) -> None:
    """Write `similarity_matrix` as CSV, a row and a column for each speaker; unknown cells are empty.

    Raises:
        OutputError: for an existing file without `force`, or when it cannot be written.
    """
    path = Path(path)
    require_new(path, force)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["speaker", *table.speaker_names])
        for name, row in zip(table.speaker_names, similarity_matrix(table), strict=True):
            writer.writerow([name, *("" if np.isnan(value) else f"{value:.6f}" for value in row)])


def draw_speaker_map(table: EmbeddingTable, path: str | Path, *, force: bool = False) -> None:
    """Draw the map of speakers beside their similarity matrix.

    Args:
        table: at least one file.
        path: the picture; its suffix is its format.
        force: overwrite an existing file.

    Raises:
        OutputError: for an unknown suffix, an existing file without `force`, or a full disk.
    """
    path = require_picture_path(path, force)
    axes, share = principal_axes(table.embeddings)
    figure = new_figure(16, 8)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
    _draw_points(left, table, axes, share)
    _draw_matrix(right, table, axes)
    save_figure(figure, path, force=force)


def _draw_points(
    plot: Axes, table: EmbeddingTable, axes: NDArray[np.float64], share: NDArray[np.float64]
) -> None:
    """Files as dots, tied to their speaker's centre, which bears the name."""
    from matplotlib import colormaps

    owners = np.array(table.speakers)
    centres = np.stack([axes[owners == name].mean(axis=0) for name in table.speaker_names])
    # Ten colours that everybody tells apart; of more speakers neighbours are alike.
    few, hues = len(centres) <= 10, np.linspace(0.04, 0.96, len(centres))
    colours = colormaps["tab10"](np.arange(len(centres))) if few else colormaps["turbo"](hues)
    for name, centre, colour in zip(table.speaker_names, centres, colours, strict=True):
        own = axes[owners == name]
        for point in own:
            plot.plot(*zip(centre, point, strict=True), color=colour, linewidth=0.6, alpha=0.35, zorder=1)
        plot.scatter(own[:, 0], own[:, 1], s=22, color=[colour], alpha=0.75, linewidths=0, zorder=2)
    if len(centres) <= _MAX_LABELS:
        # Names near their centres, pushed apart where they would cover each other.
        inch = max(float(np.ptp(axes, axis=0).max()), 1e-9) * (1 + 2 * _MARGIN) / _SIDE_INCHES
        longest = min(_MAX_LABEL_LENGTH, max(map(len, table.speaker_names)))
        places = repel_labels(centres, width=inch * (0.07 * longest + 0.16), height=inch * 0.22)
        text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": INK, "zorder": 3}
        for name, place, centre, colour in zip(table.speaker_names, places, centres, colours, strict=True):
            box = {"boxstyle": "round,pad=0.2", "facecolor": PAPER, "edgecolor": colour, "alpha": 0.9}
            line = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}
            plot.annotate(_label(name), xy=centre, xytext=place, bbox=box, arrowprops=line, **text)
    plot.set_aspect("equal", adjustable="datalim")
    plot.margins(_MARGIN)
    plot.set_xlabel(f"first principal axis ({share[0]:.0%} of the variance)")
    plot.set_ylabel(f"second principal axis ({share[1]:.0%})")
    style_axes(plot, f"{len(owners)} recordings of {len(centres)} speakers")


def _label(name: str) -> str:
    """A name as matplotlib can draw it: a dollar begins no formula, and a long one does not push all else away."""
    shown = printable(name.replace("\n", " "))
    short = shown if len(shown) <= _MAX_LABEL_LENGTH else f"{shown[: _MAX_LABEL_LENGTH - 1]}…"
    return short.replace("$", r"\$")


def repel_labels(
    points: NDArray[np.float64], *, width: float, height: float, rounds: int = 400
) -> NDArray[np.float64]:
    """Move labels of equal size as far as needed not to overlap: (n, 2) -> (n, 2).

    Args:
        points: where the boxes would like to be.
        width: of a box.
        height: of a box.
        rounds: at most this many small steps are made.
    """
    size = np.array([width, height])
    # Coincident points need a direction to part in; a golden-angle spiral gives each its own.
    angles = np.arange(len(points)) * 2.399963
    places = points + 1e-3 * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(rounds):
        apart = (places[:, None] - places[None]) / size
        overlap = np.clip(1 - np.abs(apart), 0, None)
        meet = (overlap > 0).all(axis=2) & ~np.eye(len(points), dtype=bool)
        if not meet.any():
            break
        way = overlap * size
        shorter = way == way.min(axis=2, keepdims=True)  # the axis along which they part soonest
        push = np.where(shorter & meet[..., None], np.where(apart < 0, -1.0, 1.0) * overlap, 0.0)
        places += 0.3 * push.sum(axis=1) * size
    return places


def _draw_matrix(plot: Axes, table: EmbeddingTable, axes: NDArray[np.float64]) -> None:
    """Cosines, speakers ordered along the map's first axis so that likes stand together."""
    from matplotlib import colormaps

    owners = np.array(table.speakers)
    order = np.argsort([axes[owners == name, 0].mean() for name in table.speaker_names], kind="stable")
    values = similarity_matrix(table)[np.ix_(order, order)]
    lowest = np.floor(10 * np.nanmin([*values.ravel(), 0.9])) / 10
    image = plot.imshow(values, cmap=colormaps["magma"].with_extremes(bad="#d7dade"), vmin=lowest, vmax=1.0)
    names = [_label(table.speaker_names[index]) for index in order]
    size = float(np.clip(260 / max(len(names), 1), 4, 9))
    shown = names if len(names) <= _MAX_LABELS else []
    plot.set_xticks(range(len(shown)), shown, rotation=90, fontsize=size)
    plot.set_yticks(range(len(shown)), shown, fontsize=size)
    plot.tick_params(length=0)
    plot.spines[:].set_visible(False)
    title = "mean cosine between recordings (diagonal: of one speaker)"
    plot.set_title(title, color=INK, loc="left", fontsize=13)
    plot.set_xlabel("speakers, ordered along the first axis of the map")
    plot.figure.colorbar(image, ax=plot, shrink=0.8, label="cosine")
