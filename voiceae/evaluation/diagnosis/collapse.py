"""The content code: posterior collapse, the aggregated posterior against its prior, and codebook usage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.evaluation.diagnosis import Finding, Verdict, grade
from voiceae.evaluation.diagnosis.encoded_clips import BATCH, Clips, EncodedClips, batch
from voiceae.evaluation.scoring import Progress
from voiceae.models import Autoencoder, GaussianBottleneck
from voiceae.models.bottlenecks import codebook_figures
from voiceae.nn.layers import gaussian_kl
from voiceae.nn.losses import reconstruction_loss

ACTIVE_VARIANCE = 0.01  # of the posterior mean; Burda et al. 2016 (arXiv 1509.00519)
MAX_CLIPS = 128  # that are reconstructed, each five times: a bound on the time it takes
# How many times worse another clip's code reconstructs: 1 where the decoder ignores the code.
RATIO_WARNING, RATIO_FAILED = 1.3, 1.1
OWN_SPEAKER = "own voice"  # the code as it is, and the speaker vector of the clip itself
NATS_WARNING, NATS_FAILED = 1.0, 0.05  # per code frame; phone identity alone is about 2 to 3


def find_collapse(
    model: Autoencoder, clips: Clips, encoded: EncodedClips, generator: torch.Generator, progress: Progress
) -> Finding:
    """Reconstruct with the code as it is and with other codes, and measure what each dimension carries."""
    errors = reconstruction_errors(model, clips, encoded, generator, progress)
    ratio = errors["shuffled"] / max(errors["as it is"], 1e-9)
    figures: dict[str, Any] = {"reconstruction": errors, "shuffled_to_own": ratio}
    verdict = grade(ratio, RATIO_WARNING, RATIO_FAILED)
    reason = f"another utterance's code makes the reconstruction {ratio:.2f} times worse"
    series = {}
    if encoded.log_variance is not None:
        kl, variance = dimension_figures(encoded)
        active = int((variance > ACTIVE_VARIANCE).sum())
        figures |= {"kl_nats": float(kl.sum()), "active_units": active, "dimensions": len(kl)}
        series = {"kl_per_dimension": kl, "variance_of_mean": variance}
        verdict = max(verdict, grade(float(kl.sum()), NATS_WARNING, NATS_FAILED))
        verdict = max(verdict, Verdict.OK if active else Verdict.FAILED)
        used = f"{active} of {len(kl)} dimensions are active"
        reason += f"; {used} and carry {kl.sum():.3g} nats per code frame"
    says = {
        Verdict.OK: "the decoder uses the code",
        Verdict.WARNING: "the decoder uses the code only a little",
        Verdict.FAILED: "the code has collapsed: lower or warm up the weight of its loss",
    }[verdict]
    return Finding(
        area="collapse", verdict=verdict, reason=f"{says}; {reason}", figures=figures, series=series
    )


def dimension_figures(encoded: EncodedClips) -> tuple[np.ndarray, np.ndarray]:
    """Mean KL against N(0, 1), nats per code frame, and variance of the posterior mean: -> (D,), (D,)."""
    assert encoded.log_variance is not None
    mean, log_variance = encoded.frames(encoded.units), encoded.frames(encoded.log_variance)
    return gaussian_kl(mean, log_variance).mean(0).numpy(), mean.var(0, correction=0).numpy()


@torch.inference_mode()
def reconstruction_errors(
    model: Autoencoder, clips: Clips, encoded: EncodedClips, generator: torch.Generator, progress: Progress
) -> dict[str, float]:
    """Mean distance per bin and frame, in standard deviations of the bin, by what was done to the code.

    One held-out clip a speaker, in the voice of another clip of that speaker; pitch stays the clip's own. Clips of
    about the same length stand together, and only frames that both have are compared.
    """
    rows = clips.rows("held")[:: clips.held]
    rows = rows[torch.randperm(len(rows), generator=generator)[:MAX_CLIPS]]
    rows = rows[clips.mask[rows].sum(-1).argsort(stable=True)]
    codes = other_codes(model, encoded, rows, generator)
    total = dict.fromkeys(codes, 0.0)
    places = torch.arange(len(rows)).split(BATCH)
    for some in progress(places, len(places), "reconstructing"):
        mel, mask = batch(clips, rows[some])
        content = model.encode(mel, mask)
        both = mask & batch(clips, rows.roll(1)[some])[1]
        # The row before a speaker's first held-out clip is another clip of that speaker.
        own, other = (
            (encoded.speaker[voices], model.timbre_of(*batch(clips, voices)))
            for voices in (rows[some], rows[some] - 1)
        )
        for name, units in codes.items():
            changed = replace(content.bottlenecked, units=units[some].transpose(1, 2))
            speaker, timbre = own if name == OWN_SPEAKER else other
            given = model.decode(replace(content, bottlenecked=changed), speaker, timbre=timbre, mask=mask)
            error = reconstruction_loss(model.normalise(given), model.normalise(mel), both)
            total[name] += float(error) * len(some)
    return {name: value / len(rows) for name, value in total.items()}


def other_codes(
    model: Autoencoder, encoded: EncodedClips, rows: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """The codes of some clips as they are, of another clip, none, and drawn from the prior: (n, T', D) each.

    The prior is N(0, I) of a Gaussian bottleneck; of another kind, frames of any clips, drawn one by one.
    """
    own = encoded.units[rows]
    if isinstance(model.bottleneck, GaussianBottleneck):
        drawn = torch.randn(own.shape, generator=generator)
    else:
        pool = encoded.frames(encoded.units)
        drawn = pool[torch.randint(len(pool), own.shape[:2], generator=generator)]
    mask = encoded.mask[rows][..., None]
    return {
        "as it is": own,
        OWN_SPEAKER: own,
        "shuffled": own.roll(1, 0) * mask,
        "zeroed": torch.zeros_like(own),
        "prior": drawn * mask,
    }


# KL of the fitted Gaussian as a share of the whole KL: what the code pays for its place instead of for content.
WARNING, FAILED = 0.25, 0.75
BINS = np.linspace(-5, 5, 81)  # five deviations of the prior: one sample in two million lies beyond

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of z drawn from the aggregated posterior.

    Attributes:
        mean: (D,).
        covariance: (D, D).
    """

    mean: Array
    covariance: Array

    @property
    def kl(self) -> float:
        """KL(N(mean, covariance) || N(0, I)), nats."""
        _, log_determinant = np.linalg.slogdet(self.covariance)
        return float(
            0.5 * (np.trace(self.covariance) + self.mean @ self.mean - len(self.mean) - log_determinant)
        )


def aggregated_moments(encoded: EncodedClips) -> Moments:
    """Moments of q(z) by the law of total variance: covariance of the means plus mean of the variances."""
    assert encoded.log_variance is not None
    mean = encoded.frames(encoded.units).double().numpy()
    variance = encoded.frames(encoded.log_variance).double().exp().numpy()
    covariance = np.atleast_2d(np.cov(mean, rowvar=False, bias=True)) + np.diag(variance.mean(0))
    return Moments(mean.mean(0), covariance)


def find_aggregate(encoded: EncodedClips, total_kl: float, generator: torch.Generator) -> Finding:
    """Compare the aggregated posterior of all clips with the prior N(0, I).

    The whole KL is the information of the code plus KL(q(z) || p(z)) (Hoffman and Johnson 2016), and the latter is at
    least the KL of the Gaussian fitted to q(z); so the code carries at most the difference.

    Args:
        encoded: of a Gaussian bottleneck.
        total_kl: mean KL of the posteriors, nats per code frame.
        generator: of the samples that the histograms count.
    """
    moments = aggregated_moments(encoded)  # of the best Gaussian: a lower bound that needs no density of q(z)
    deviation = np.sqrt(np.diag(moments.covariance))
    correlation = moments.covariance / np.outer(deviation, deviation)
    share = moments.kl / max(total_kl, 1e-9)
    verdict = grade(share, WARNING, FAILED) if total_kl > 1e-3 else Verdict.OK
    place = "where the prior expects them" if verdict is Verdict.OK else "beside their prior"
    off_diagonal = np.abs(correlation - np.eye(len(deviation)))
    figures = {
        "kl_of_fitted_gaussian_nats": moments.kl,
        "share_of_kl": share,
        "information_at_most_nats": total_kl - moments.kl,
        "largest_mean": float(np.abs(moments.mean).max()),
        "deviation_low": float(deviation.min()),
        "deviation_high": float(deviation.max()),
        "largest_correlation": float(off_diagonal.max()),
    }
    return Finding(
        area="aggregate",
        verdict=verdict,
        reason=(
            f"codes lie {place}; the Gaussian fitted to them is {moments.kl:.3g} nats from N(0, I), "
            f"{share:.0%} of the KL, with means up to {figures['largest_mean']:.2g} "
            f"and deviations from {deviation.min():.2g} to {deviation.max():.2g}"
        ),
        figures=figures,
        series={
            "mean": moments.mean,
            "deviation": deviation,
            "correlation": correlation,
            "histograms": histograms(encoded, generator),
        },
    )


def histograms(encoded: EncodedClips, generator: torch.Generator) -> Array:
    """Density of samples in `BINS`, by dimension: -> (D, 80)."""
    assert encoded.log_variance is not None
    mean, log_variance = encoded.frames(encoded.units), encoded.frames(encoded.log_variance)
    z = mean + torch.randn(mean.shape, generator=generator) * (0.5 * log_variance).exp()
    counts = np.stack([np.histogram(column, BINS)[0] for column in z.T.numpy()])
    return counts / (len(z) * np.diff(BINS))


PERPLEXITY_WARNING, PERPLEXITY_FAILED = 16.0, 4.0  # phones are about 40, broad phone classes about 6
DEAD_WARNING, DEAD_FAILED = 0.5, 0.95  # shares; some dead codes are common in VQ and do no harm


def find_codebook(
    encoded: EncodedClips, size: int, codes_per_second: float, *, combinatorial: bool = False
) -> Finding:
    """Count how often each code of a codebook is used.

    Args:
        encoded: of a discrete bottleneck.
        size: of the codebook.
        codes_per_second: rate of the bottleneck.
        combinatorial: whether codes are combinations, most of which need never occur.
    """
    assert encoded.codes is not None
    usage = torch.bincount(encoded.frames(encoded.codes), minlength=size)
    dead = float((usage == 0).double().mean())
    whole = {name: float(value) for name, value in codebook_figures(usage.double()).items()}
    runs = run_lengths(encoded.codes, encoded.mask)
    # A small codebook cannot have as large a perplexity; half of it is always enough.
    limits = min(PERPLEXITY_WARNING, size / 2), min(PERPLEXITY_FAILED, size / 4)
    unused = Verdict.OK if combinatorial else grade(dead, DEAD_WARNING, DEAD_FAILED)
    verdict = max(grade(whole["perplexity"], *limits), unused)
    figures = {
        "size": size,
        "frames": int(usage.sum()),
        "dead_codes": int((usage == 0).sum()),
        "dead_share": dead,
        **whole,
        "bits_per_second": whole["bits_per_frame"] * codes_per_second,
        "mean_run_frames": float(runs.mean()),
        "mean_run_seconds": float(runs.mean()) / codes_per_second,
    }
    says = {
        Verdict.OK: "the codebook is in use",
        Verdict.WARNING: "much of the codebook is not in use",
        Verdict.FAILED: "the codebook has died: revive codes or start it from the data",
    }[verdict]
    return Finding(
        area="codebook",
        verdict=verdict,
        reason=(
            f"{says}; perplexity {whole['perplexity']:.1f}, {figures['dead_codes']} of {size} codes dead, "
            f"{figures['bits_per_second']:.0f} bits per second, a code lasts {runs.mean():.1f} frames"
        ),
        figures=figures,
        series={"usage": usage.numpy(), "run_lengths": np.bincount(runs.clip(max=20), minlength=21)},
    )


def run_lengths(codes: Tensor, mask: Tensor) -> NDArray[np.int64]:
    """How many frames each code lasts before another follows: (U, T'), (U, T') -> (n,)."""
    found = []
    for row, valid in zip(codes.numpy(), mask.numpy(), strict=True):
        row = row[valid]
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        found.append(np.diff(starts, append=len(row)))
    return np.concatenate(found)
