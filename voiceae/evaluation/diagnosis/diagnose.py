"""The diagnosis of a model: clips are encoded once, every area is checked on them, and one page shows the plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from voiceae.data.store import FeatureStore
from voiceae.errors import ModelFileError
from voiceae.evaluation.diagnosis import Finding, Verdict
from voiceae.evaluation.diagnosis.collapse import BINS, find_aggregate, find_codebook, find_collapse
from voiceae.evaluation.diagnosis.encoded_clips import (
    QUICK,
    Size,
    draw_held_out_clips,
    draw_training_clips,
    embed,
    encode_clips,
)
from voiceae.evaluation.diagnosis.leakage import PROBES, find_leakage
from voiceae.evaluation.diagnosis.speaker_space import find_speaker_space, find_spoken_content
from voiceae.evaluation.scoring import Progress, no_progress
from voiceae.io.filesystem import atomic_path
from voiceae.models import Autoencoder, DiscreteBottleneck

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = 1


@dataclass(frozen=True)
class Diagnosis:
    """The findings in all areas of one model.

    Attributes:
        findings: one an area.
        about: what was diagnosed, on what, with which seed.
    """

    findings: tuple[Finding, ...]
    about: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        """The worst of all areas."""
        return max((finding.verdict for finding in self.findings), default=Verdict.OK)

    def area(self, name: str) -> Finding:
        """The finding of one area.

        Raises:
            KeyError: when the model has no such area.
        """
        return {finding.area: finding for finding in self.findings}[name]

    def save(self, path: Path) -> None:
        """Write all findings as JSON.

        Raises:
            OutputError: when it cannot be written.
        """
        areas = {finding.area: finding.to_dict() for finding in self.findings}
        whole = {"format": FORMAT, "verdict": str(self.verdict), "about": dict(self.about), "areas": areas}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(whole, indent=1), encoding="utf-8")


def diagnose(
    model: nn.Module,
    store: FeatureStore,
    *,
    seed: int = 0,
    quick: bool = False,
    about: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Diagnosis:
    """Check a model for collapse, leakage and other faults that its losses do not show.

    Args:
        model: an autoencoder on the CPU; it is left in evaluation mode.
        store: of the model's mel contract, with speech of its training and of held-out speakers.
        seed: of everything that is drawn.
        quick: a quarter of the speakers and half of each clip.
        about: further words on what is diagnosed.
        progress: shows how far it is.

    Raises:
        ModelFileError: when the model is no autoencoder.
        StoreError: when the store has too few speakers.
    """
    if not isinstance(model, Autoencoder):
        raise ModelFileError(f"{type(model).__name__}: is no autoencoder; only those can be diagnosed")
    size, rng = QUICK if quick else Size(), np.random.default_rng(seed)
    model = model.eval()
    clips, others = draw_training_clips(store, size, rng), draw_held_out_clips(store, size, rng)
    encoded = encode_clips(model, clips, progress)
    generator = torch.Generator().manual_seed(seed)
    findings = [find_collapse(model, clips, encoded, generator, progress)]
    findings.append(find_leakage(encoded, clips, seed, progress))
    if encoded.log_variance is not None:
        findings.append(find_aggregate(encoded, findings[0].figures["kl_nats"], generator))
    if encoded.codes is not None and isinstance(model.bottleneck, DiscreteBottleneck):
        codes, rate = model.bottleneck, store.spec.frame_rate / model.rate
        findings.append(find_codebook(encoded, codes.size, rate, combinatorial=codes.combinatorial))
    vectors = encoded.speaker if others is None else embed(model, others, progress)
    findings.append(find_speaker_space(vectors, (others or clips).speaker, held_out=others is not None))
    findings.append(find_spoken_content(encoded, clips, findings[0].figures["reconstruction"], rng))
    sizes = {"speakers": len(clips.speakers), "clips_each": clips.per_speaker, "at_most": asdict(size)}
    described = {**(about or {}), "store": store.path.name, "seed": seed, "quick": quick, **sizes}
    return Diagnosis(tuple(findings), described)


COLOURS = {Verdict.OK: "#2a7f3f", Verdict.WARNING: "#b87400", Verdict.FAILED: "#b3261e"}


def save_plots(diagnosis: Diagnosis, path: Path) -> None:
    """Draw the plots of all areas on one PNG page.

    Raises:
        OutputError: when it cannot be written.
    """
    from matplotlib.figure import Figure

    drawings = [(finding, draw) for finding in diagnosis.findings for draw in DRAWINGS[finding.area]]
    # Only a Gaussian posterior has a KL divergence.
    drawings = [(f, draw) for f, draw in drawings if draw is not _kl or "kl_per_dimension" in f.series]
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
    about = diagnosis.about
    speech = " and ".join(about[name] for name in ("store", "corpus") if name in about)
    page.suptitle(f"{about.get('model', 'model')} on {speech}: {diagnosis.verdict}")
    with atomic_path(path) as temporary:
        page.savefig(temporary, format="png", dpi=80)


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


def _probe(plot: Axes, finding: Finding) -> None:
    accuracy = finding.figures["accuracy"]
    plot.bar(list(accuracy), list(accuracy.values()), color="#44627d")
    plot.axhline(finding.figures["chance"], color="black", linewidth=0.7)
    plot.set(title="naming unseen speakers by units", ylabel="share", ylim=(0, 1))


def _spoken(plot: Axes, finding: Finding) -> None:
    accuracy = finding.figures["accuracy"]
    plot.bar(list(accuracy), list(accuracy.values()), color="#44627d")
    plot.axhline(1 / finding.figures["choices"], color="black", linewidth=0.7)
    plot.set(title="finding one's own utterance", ylabel="share", ylim=(0, 1))


DRAWINGS: dict[str, tuple[Callable[[Axes, Finding], None], ...]] = {
    "collapse": (_reconstruction, _kl),
    "leakage": (_leakage,),
    "aggregate": (_gaussian, _histograms, _correlation),
    "codebook": (_usage, _runs),
    "speakers": (_voices,),
    "spoken": (_spoken,),
    "probe": (_probe,),
}
