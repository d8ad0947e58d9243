"""One page of plots of a diagnosis, as PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voiceae.evaluation.diagnosis.collapse import BINS
from voiceae.evaluation.diagnosis.diagnose import Diagnosis
from voiceae.evaluation.diagnosis.leakage import PROBES
from voiceae.evaluation.diagnosis.verdicts import Finding, Verdict
from voiceae.io.filesystem import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {Verdict.OK: "#2a7f3f", Verdict.WARNING: "#b87400", Verdict.FAILED: "#b3261e"}


def save_page(diagnosis: Diagnosis, path: Path) -> None:
    """Draw all areas on one page.

    Raises:
        OutputError: when it cannot be written.
    """
    from matplotlib.figure import Figure

    drawings = [(f, draw) for f in diagnosis.findings for draw in DRAWINGS[f.area] if _can_draw(f, draw)]
    columns = 3
    lines = -(-len(drawings) // columns)
    page = Figure(figsize=(5 * columns, 3.4 * lines), layout="constrained")
    plots = np.atleast_2d(page.subplots(lines, columns, squeeze=False)).ravel()
    for plot, (finding, draw) in zip(plots, drawings, strict=False):
        draw(plot, finding)
        plot.set_title(f"{finding.area}: {plot.get_title()} [{finding.verdict}]", fontsize=10)
        plot.title.set_color(COLOURS[finding.verdict])
    for plot in plots[len(drawings) :]:
        plot.set_axis_off()
    page.suptitle(
        f"{diagnosis.about.get('model', 'model')} on {diagnosis.about['store']}: {diagnosis.verdict}"
    )
    with atomic_path(path) as temporary:
        page.savefig(temporary, format="png", dpi=80)


def _can_draw(finding: Finding, draw: Callable[[Axes, Finding], None]) -> bool:
    return draw not in NEEDS or NEEDS[draw] in finding.series


def _reconstruction(plot: Axes, finding: Finding) -> None:
    errors = finding.figures["reconstruction"]
    plot.bar(list(errors), list(errors.values()), color="#44627d")
    plot.set(title="reconstruction by code", ylabel="distance, deviations")


def _kl(plot: Axes, finding: Finding) -> None:
    kl, variance = finding.series["kl_per_dimension"], finding.series["variance_of_mean"]
    order = np.argsort(-kl)
    plot.bar(np.arange(len(kl)), kl[order], color="#44627d", label="KL, nats")
    plot.plot(variance[order], "k.", label="variance of the mean")
    plot.legend(fontsize=7)
    plot.set(title="what each dimension carries", xlabel="dimension, by KL")


def _leakage(plot: Axes, finding: Finding) -> None:
    rows, bars = list(finding.figures["accuracy"]), finding.series["times_chance"]
    for number, probe in enumerate(PROBES):
        plot.bar(np.arange(len(rows)) + 0.27 * (number - 1), bars[:, number], 0.25, label=probe.name)
    plot.axhline(1, color="black", linewidth=0.7)
    plot.set_xticks(range(len(rows)), rows)
    plot.legend(fontsize=7)
    plot.set_yscale("symlog", linthresh=1)
    plot.set(title="speaker probes", ylabel="times chance")


def _histograms(plot: Axes, finding: Finding) -> None:
    densities = finding.series["histograms"]
    order = np.argsort(finding.series["deviation"])
    extent = (BINS[0], BINS[-1], 0, len(densities))
    plot.imshow(densities[order], aspect="auto", origin="lower", extent=extent, cmap="viridis", vmax=1)
    plot.set(title="density by dimension", xlabel="z", ylabel="dimension, by deviation")


def _gaussian(plot: Axes, finding: Finding) -> None:
    centres = (BINS[1:] + BINS[:-1]) / 2
    for density in finding.series["histograms"]:
        plot.plot(centres, density, color="#44627d", linewidth=0.4, alpha=0.5)
    plot.plot(centres, np.exp(-0.5 * centres**2) / np.sqrt(2 * np.pi), "k--", label="N(0, 1)")
    plot.legend(fontsize=7)
    plot.set(title="density against the prior", xlabel="z", ylim=(0, 1.2))


def _correlation(plot: Axes, finding: Finding) -> None:
    plot.imshow(finding.series["correlation"], cmap="coolwarm", vmin=-1, vmax=1)
    plot.set(title="correlation of dimensions")


def _usage(plot: Axes, finding: Finding) -> None:
    plot.plot(np.sort(finding.series["usage"])[::-1], color="#44627d")
    plot.set_yscale("symlog", linthresh=1)
    plot.set(title="use of the codes", xlabel="code, by use", ylabel="frames")


def _runs(plot: Axes, finding: Finding) -> None:
    counts = finding.series["run_lengths"]
    plot.bar(np.arange(len(counts)), counts, color="#44627d")
    plot.set(title="how long a code lasts", xlabel="code frames (20: or more)", ylabel="runs")


def _voices(plot: Axes, finding: Finding) -> None:
    edges = np.linspace(-1, 1, 41)
    for name, colour in (("same", "#2a7f3f"), ("different", "#b3261e")):
        plot.stairs(finding.series[name], edges, fill=True, alpha=0.5, color=colour, label=f"{name} speaker")
    plot.axvline(finding.figures["threshold"], color="black", linewidth=0.7)
    plot.legend(fontsize=7)
    plot.set(title=f"{finding.figures['split']} speakers", xlabel="cosine", ylabel="density")


def _spoken(plot: Axes, finding: Finding) -> None:
    accuracy = finding.figures["accuracy"]
    plot.bar(list(accuracy), list(accuracy.values()), color="#44627d")
    plot.axhline(1 / finding.figures["choices"], color="black", linewidth=0.7)
    plot.set(title="finding one's own utterance", ylabel="share", ylim=(0, 1))


Drawing = Callable[["Axes", Finding], None]

DRAWINGS: dict[str, tuple[Drawing, ...]] = {
    "collapse": (_reconstruction, _kl),
    "leakage": (_leakage,),
    "aggregate": (_gaussian, _histograms, _correlation),
    "codebook": (_usage, _runs),
    "speakers": (_voices,),
    "spoken": (_spoken,),
}
NEEDS: dict[Drawing, str] = {_kl: "kl_per_dimension"}
