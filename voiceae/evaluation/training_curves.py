"""Comparison of two trainings: where the curves of one depart from those of the other."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError
from voiceae.io.filesystem import atomic_path

COUNTERS = ("step", "frames", "seconds")
MACHINE = ("frames_per_second", "tflops", "bf16_peak_share")
"""Figures of the machine rather than of the training."""

# A departure is more than 5 % of the reference and four standard deviations of its noise, which chance exceeds at one
# point of 16,000, for three points in a row.
TOLERANCE, NOISES, LASTING = 0.05, 4.0, 3
SMOOTH = 5  # points of the running median: two outliers side by side leave no trace
MAX_PLOTS = 24

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One figure of a run as a curve.

    Attributes:
        at: (n,) steps, frames or seconds, rising.
        values: (n,).
    """

    at: Array
    values: Array


@dataclass(frozen=True)
class Comparison:
    """One figure of a run, compared with that of its reference.

    Attributes:
        name: of the figure.
        run: its curve.
        reference: the reference's.
        departs: where the run leaves the reference for good or for a while, first time; None: never.
        largest: largest relative difference of the smoothed curves.
        last: relative difference at the end of what both have.
        end: where that is.
    """

    name: str
    run: Curve
    reference: Curve
    departs: float | None
    largest: float
    last: float
    end: float


def read_curves(path: Path, by: str = "step") -> dict[str, Curve]:
    """Figures of a metrics.jsonl by name.

    Args:
        path: one JSON object a line; a last line cut short by a running training is left out.
        by: the counter to draw over, one of `COUNTERS`.

    Raises:
        ConfigError: when it is missing or holds no figures.
    """
    try:
        text = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, row in enumerate(text, 1):
        try:
            line = json.loads(row)
            if not isinstance(line, dict):
                raise ValueError("no object")
        except ValueError:
            if number < len(text):
                raise ConfigError(f"{path}, line {number}: is not a JSON object") from None
            continue
        for name, value in line.items():
            if name not in (*COUNTERS, *MACHINE) and isinstance(value, int | float) and by in line:
                points[name].append((float(line[by]), float(value)))
    if not points:
        raise ConfigError(f"{path}: holds no figures over {by}; give the metrics.jsonl of a training")
    arrays = {name: np.array(sorted(dict(each).items()), np.float64) for name, each in points.items()}
    return {name: Curve(each[:, 0], each[:, 1]) for name, each in arrays.items()}


def compare_curves(run: Mapping[str, Curve], reference: Mapping[str, Curve]) -> list[Comparison]:
    """Compare what both have, largest last difference first.

    Raises:
        ConfigError: when they have nothing in common.
    """
    found = [_compare(name, run[name], reference[name]) for name in run if name in reference]
    common = [each for each in found if each is not None]
    if not common:
        raise ConfigError("the two runs share no figure over the same steps")
    return sorted(common, key=lambda each: (each.departs is None, -abs(each.last), each.name))


def only_in_one(run: Mapping[str, Curve], reference: Mapping[str, Curve]) -> tuple[list[str], list[str]]:
    """Figures that only the run, and that only the reference has."""
    return sorted(set(run) - set(reference)), sorted(set(reference) - set(run))


def save_plots(comparisons: Sequence[Comparison], path: Path, names: tuple[str, str], by: str) -> None:
    """Draw both runs, a plot a figure, those that depart first.

    Args:
        comparisons: what `compare_curves` gave.
        path: PNG.
        names: of the run and the reference.
        by: what the curves are over.

    Raises:
        OutputError: when it cannot be written.
    """
    from matplotlib.figure import Figure

    shown = comparisons[:MAX_PLOTS]
    lines = -(-len(shown) // 3)
    page = Figure(figsize=(15, 3 * lines), layout="constrained")
    plots = page.subplots(lines, 3, squeeze=False).ravel()
    for plot, each in zip(plots, shown, strict=False):
        plot.plot(each.reference.at, each.reference.values, color="#999999", label=names[1])
        plot.plot(each.run.at, each.run.values, color="#1f4e79", linewidth=1, label=names[0])
        if each.departs is not None:
            plot.axvline(each.departs, color="#b3261e", linewidth=0.8, linestyle="--")
        plot.set_title(each.name, fontsize=9, color="black" if each.departs is None else "#b3261e")
        plot.set_xlabel(by, fontsize=7)
    plots[0].legend(fontsize=7)
    for plot in plots[len(shown) :]:
        plot.set_axis_off()
    with atomic_path(path) as temporary:
        page.savefig(temporary, format="png", dpi=80)


def _compare(name: str, run: Curve, reference: Curve) -> Comparison | None:
    """Departure: for three points the smoothed run is off by more than 5 % and four times the reference's noise."""
    inside = (run.at >= reference.at[0]) & (run.at <= reference.at[-1])
    if not inside.any():
        return None
    at, values = run.at[inside], run.values[inside]
    smooth = _smooth(reference.values)
    expected = np.interp(at, reference.at, smooth)
    size = np.maximum(np.abs(expected), 1e-3 * max(float(np.nanmax(np.abs(smooth))), 1e-12))
    off = _smooth(values) - expected
    # From point to point: 1.4826 times the median absolute deviation is the standard deviation of a normal law, and a
    # difference has twice the variance of a point.
    steps = np.abs(np.diff(reference.values[np.isfinite(reference.values)]))
    noise = 1.4826 * float(np.median(steps)) / 2**0.5 if len(steps) else 0.0
    beyond = np.abs(off) > np.maximum(TOLERANCE * size, NOISES * noise)
    # Only stretches of three points and more count, or what lasts to the end of very few points.
    least = min(LASTING, len(beyond))
    starts = np.lib.stride_tricks.sliding_window_view(beyond, least).all(-1)
    beyond = (np.convolve(starts, np.ones(least)) > 0) | ~np.isfinite(values)
    relative = np.nan_to_num(off / size, nan=np.inf)
    return Comparison(
        name=name,
        run=run,
        reference=reference,
        departs=float(at[beyond.argmax()]) if beyond.any() else None,
        largest=float(relative[np.abs(relative).argmax()]),
        last=float(relative[-1]),
        end=float(at[-1]),
    )


def _smooth(values: Array) -> Array:
    """Running median of what is finite, over fewer points at the ends: (n,) -> (n,)."""
    finite = np.where(np.isfinite(values), values, np.nan)
    near = [min(SMOOTH // 2, place, len(values) - 1 - place) for place in range(len(values))]
    windows = [finite[i - h : i + h + 1] for i, h in enumerate(near)]
    return np.array([np.nan if np.isnan(window).all() else np.nanmedian(window) for window in windows])
