"""Posterior collapse: whether the decoder would miss the code, and which of its dimensions carry anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voiceae.losses import reconstruction_loss
from voiceae.metrics.diagnosis.clips import Clips
from voiceae.metrics.diagnosis.readings import BATCH, Readings, Watch, batch
from voiceae.metrics.diagnosis.verdicts import Finding, Verdict, grade, worst
from voiceae.models import Autoencoder, Gaussian
from voiceae.nn.gaussian import gaussian_kl

ACTIVE_VARIANCE = 0.01  # of the posterior mean; Burda et al. 2016 (arXiv 1509.00519)
MOST_CLIPS = 128
RATIO_WARNING, RATIO_FAILED = 1.3, 1.1
OWN_VOICE = "own voice"  # the code as it is, and the speaker vector of the clip itself
NATS_WARNING, NATS_FAILED = 1.0, 0.05  # per code frame; phone identity alone is about 2 to 3


def find_collapse(
    model: Autoencoder, clips: Clips, readings: Readings, generator: torch.Generator, watch: Watch
) -> Finding:
    """Reconstruct with the code as it is and with other codes, and measure what each dimension carries."""
    errors = reconstruction_errors(model, clips, readings, generator, watch)
    ratio = errors["shuffled"] / max(errors["as it is"], 1e-9)
    figures: dict[str, Any] = {"reconstruction": errors, "shuffled_to_own": ratio}
    verdict = grade(ratio, RATIO_WARNING, RATIO_FAILED)
    reason = f"another utterance's code makes the reconstruction {ratio:.2f} times worse"
    series = {}
    if readings.log_variance is not None:
        kl, variance = dimension_figures(readings)
        active = int((variance > ACTIVE_VARIANCE).sum())
        figures |= {"kl_nats": float(kl.sum()), "active_units": active, "dimensions": len(kl)}
        series = {"kl_per_dimension": kl, "variance_of_mean": variance}
        verdict = worst([verdict, grade(float(kl.sum()), NATS_WARNING, NATS_FAILED)])
        verdict = worst([verdict, Verdict.OK if active else Verdict.FAILED])
        reason += (
            f"; {active} of {len(kl)} dimensions are active and carry {kl.sum():.3g} nats per code frame"
        )
    says = {
        Verdict.OK: "the decoder uses the code",
        Verdict.WARNING: "the decoder uses the code only a little",
        Verdict.FAILED: "the code has collapsed: lower or warm up the weight of its loss",
    }[verdict]
    return Finding(
        area="collapse", verdict=verdict, reason=f"{says}; {reason}", figures=figures, series=series
    )


def dimension_figures(readings: Readings) -> tuple[np.ndarray, np.ndarray]:
    """Mean KL against N(0, 1), nats per code frame, and variance of the posterior mean: -> (D,), (D,)."""
    assert readings.log_variance is not None
    mean, log_variance = readings.frames(readings.units), readings.frames(readings.log_variance)
    return gaussian_kl(mean, log_variance).mean(0).numpy(), mean.var(0, correction=0).numpy()


@torch.inference_mode()
def reconstruction_errors(
    model: Autoencoder, clips: Clips, readings: Readings, generator: torch.Generator, watch: Watch
) -> dict[str, float]:
    """Mean distance per bin and frame, in standard deviations of the bin, by what was done to the code.

    One held-out clip a speaker, in the voice of another clip of that speaker; pitch stays the clip's own. Clips of
    about the same length stand together, and only frames that both have are compared.
    """
    rows = clips.rows("held")[:: clips.held]
    rows = rows[torch.randperm(len(rows), generator=generator)[:MOST_CLIPS]]
    rows = rows[clips.mask[rows].sum(-1).argsort(stable=True)]
    codes = other_codes(model, readings, rows, generator)
    total = dict.fromkeys(codes, 0.0)
    places = torch.arange(len(rows)).split(BATCH)
    for some in watch(places, len(places), "reconstructing"):
        mel, mask = batch(clips, rows[some])
        content = model.encode(mel, mask)
        both = mask & batch(clips, rows.roll(1)[some])[1]
        # The row before a speaker's first held-out clip is another clip of that speaker.
        own, other = readings.speaker[rows[some]], readings.speaker[rows[some] - 1]
        for name, units in codes.items():
            changed = replace(content.bottlenecked, units=units[some].transpose(1, 2))
            speaker = own if name == OWN_VOICE else other
            given = model.decode(replace(content, bottlenecked=changed), speaker, mask=mask)
            error = reconstruction_loss(model.normalise(given), model.normalise(mel), both)
            total[name] += float(error) * len(some)
    return {name: value / len(rows) for name, value in total.items()}


def other_codes(
    model: Autoencoder, readings: Readings, rows: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """The codes of some clips as they are, of another clip, none, and drawn from the prior: (n, T', D) each.

    The prior is N(0, I) of a Gaussian bottleneck; of another kind, frames of any clips, drawn one by one.
    """
    own = readings.units[rows]
    if isinstance(model.bottleneck, Gaussian):
        drawn = torch.randn(own.shape, generator=generator)
    else:
        pool = readings.frames(readings.units)
        drawn = pool[torch.randint(len(pool), own.shape[:2], generator=generator)]
    mask = readings.mask[rows][..., None]
    return {
        "as it is": own,
        OWN_VOICE: own,
        "shuffled": own.roll(1, 0) * mask,
        "zeroed": torch.zeros_like(own),
        "prior": drawn * mask,
    }
