"""The aggregated posterior, the codes of all speech together, against the prior N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from voiceae.metrics.diagnosis.readings import Readings
from voiceae.metrics.diagnosis.verdicts import Finding, Verdict, grade

# KL of the fitted Gaussian as a share of the whole KL: what the code pays for its place instead of for content.
WARNING, FAILED = 0.25, 0.75
BINS = np.linspace(-5, 5, 81)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of z drawn from the aggregated posterior.

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


def aggregated_moments(readings: Readings) -> Moments:
    """Law of total variance: covariance of the means plus mean of the variances."""
    assert readings.log_variance is not None
    mean = readings.frames(readings.units).double().numpy()
    variance = readings.frames(readings.log_variance).double().exp().numpy()
    covariance = np.atleast_2d(np.cov(mean, rowvar=False, bias=True)) + np.diag(variance.mean(0))
    return Moments(mean.mean(0), covariance)


def find_aggregate(readings: Readings, total_kl: float, generator: torch.Generator) -> Finding:
    """Compare the codes of all clips with N(0, I).

    The whole KL is the information of the code plus KL(q(z) || p(z)) (Hoffman and Johnson 2016), and the latter is at
    least the KL of the Gaussian fitted to q(z); so the code carries at most the difference.

    Args:
        readings: of a Gaussian bottleneck.
        total_kl: mean KL of the posteriors, nats per code frame.
        generator: of the samples that the histograms count.
    """
    moments = aggregated_moments(readings)
    deviation = np.sqrt(np.diag(moments.covariance))
    correlation = moments.covariance / np.outer(deviation, deviation)
    share = moments.kl / max(total_kl, 1e-9)
    verdict = grade(share, WARNING, FAILED) if total_kl > 1e-3 else Verdict.OK
    says = (
        "codes lie where the prior expects them" if verdict is Verdict.OK else "codes lie beside their prior"
    )
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
            f"{says}; the Gaussian fitted to them is {moments.kl:.3g} nats from N(0, I), {share:.0%} of the KL, "
            f"with means up to {figures['largest_mean']:.2g} and deviations from {deviation.min():.2g} "
            f"to {deviation.max():.2g}"
        ),
        figures=figures,
        series={
            "mean": moments.mean,
            "deviation": deviation,
            "correlation": correlation,
            "histograms": histograms(readings, generator),
        },
    )


def histograms(readings: Readings, generator: torch.Generator) -> Array:
    """Density of samples in `BINS`, by dimension: -> (D, 80)."""
    assert readings.log_variance is not None
    mean, log_variance = readings.frames(readings.units), readings.frames(readings.log_variance)
    z = mean + torch.randn(mean.shape, generator=generator) * (0.5 * log_variance).exp()
    counts = np.stack([np.histogram(column, BINS)[0] for column in z.T.numpy()])
    return counts / (len(z) * np.diff(BINS))
