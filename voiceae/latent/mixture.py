"""Mixtures of Gaussians: fitting them, drawing from them, and shrinking a covariance that few vectors give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError

Array = NDArray[np.float64]

_ROUNDS = 40
_RIDGE = 1e-4  # share of the mean variance that every covariance keeps
_ENOUGH = 10  # vectors a dimension, for a covariance of its own
_SETTLED = 1e-4  # nats per vector


@dataclass(frozen=True)
class Mixture:
    """A density over vectors.

    Attributes:
        weights: (K,), of sum one.
        means: (K, D).
        factors: (K, D, D) lower triangular, `factor @ factor.T` is the covariance; zeros for a point.
    """

    weights: Array
    means: Array
    factors: Array

    @property
    def size(self) -> int:
        """K."""
        return len(self.weights)

    @property
    def covariances(self) -> Array:
        """(K, D, D)."""
        return np.asarray(self.factors @ self.factors.transpose(0, 2, 1))

    def log_densities(self, vectors: NDArray[np.floating[Any]]) -> Array:
        """Log-density of vectors under each component, with its weight: (n, D) -> (n, K) nats."""
        columns = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            white = whiten(vectors, mean, factor)
            volume = np.log(np.diag(factor)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
            columns.append(np.log(max(weight, 1e-300)) - volume - 0.5 * np.square(white).sum(1))
        return np.stack(columns, axis=1)

    def log_density(self, vectors: NDArray[np.floating[Any]]) -> Array:
        """(n, D) -> (n,) nats."""
        each = self.log_densities(vectors)
        most = each.max(1)
        return np.asarray(most + np.log(np.exp(each - most[:, None]).sum(1)))

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Independent vectors: -> (count, D)."""
        chosen = rng.choice(self.size, count, p=self.weights)
        noise = rng.standard_normal((count, self.means.shape[1]))
        return self.place(chosen, noise)

    def place(self, components: NDArray[np.int64], noise: Array) -> Array:
        """Vectors from components and white noise: (n,), (n, D) -> (n, D)."""
        return np.asarray(self.means[components] + np.einsum("nij,nj->ni", self.factors[components], noise))


def whiten(vectors: NDArray[np.floating[Any]], mean: Array, factor: Array) -> Array:
    """Vectors as the white noise that a component would have made them from: (n, D) -> (n, D)."""
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(factor, (vectors - mean).T, lower=True).T)


def fit_gaussian(vectors: NDArray[np.floating[Any]]) -> Mixture:
    """One Gaussian: (n, D) ->."""
    mean = vectors.mean(0, dtype=np.float64)
    covariance = _ridged(np.atleast_2d(np.cov(vectors, rowvar=False, bias=True)))
    return Mixture(np.ones(1), mean[None], root(covariance)[None])


def fit_mixture(vectors: NDArray[np.floating[Any]], size: int, rng: np.random.Generator) -> Mixture:
    """Expectation-maximisation from a seeded start: (n, D) ->.

    Args:
        vectors: to be described.
        size: K; 1 is a Gaussian in closed form.
        rng: of the start.

    Raises:
        ConfigError: for fewer than ten vectors a component.
    """
    if size < 1 or len(vectors) < 10 * size:
        raise ConfigError(f"{size} components for {len(vectors)} vectors; a component needs ten of them")
    if size == 1:
        return fit_gaussian(vectors)
    rows: Array = np.asarray(vectors, np.float64)
    mixture = _maximise(rows, np.eye(size)[nearest(rows, _spread_out(rows, size, rng))])
    before = -np.inf
    for _ in range(_ROUNDS):
        each = mixture.log_densities(rows)
        most = each.max(1, keepdims=True)
        shares = np.exp(each - most)
        now = float((most[:, 0] + np.log(shares.sum(1))).mean())
        mixture = _maximise(rows, shares / shares.sum(1, keepdims=True))
        if now - before < _SETTLED:
            break
        before = now
    return mixture


def _maximise(vectors: Array, shares: Array) -> Mixture:
    """Weights, means and covariances of softly assigned vectors: (n, D), (n, K) ->."""
    counts = shares.sum(0) + 1e-9
    means = shares.T @ vectors / counts[:, None]
    whole = np.cov(vectors, rowvar=False, bias=True)
    factors = []
    for share, mean, count in zip(shares.T, means, counts, strict=True):
        apart = vectors - mean
        covariance = (share[:, None] * apart).T @ apart / count
        # A component with too few vectors for a covariance of its own borrows from all of them.
        keep = min(1.0, count / (_ENOUGH * vectors.shape[1]))
        factors.append(root(_ridged(keep * covariance + (1 - keep) * whole)))
    return Mixture(counts / counts.sum(), means, np.stack(factors))


def root(covariance: Array) -> Array:
    """Lower triangular factor: (D, D) -> (D, D)."""
    return np.asarray(np.linalg.cholesky(covariance), np.float64)


def _ridged(covariance: Array) -> Array:
    floor = _RIDGE * np.trace(covariance) / len(covariance) + 1e-12
    return covariance + floor * np.eye(len(covariance))


def _spread_out(vectors: Array, size: int, rng: np.random.Generator) -> Array:
    """Centres after a few rounds of k-means from a k-means++ start (Arthur and Vassilvitskii 2007): -> (K, D)."""
    centres = vectors[[int(rng.integers(len(vectors)))]]
    while len(centres) < size:
        gap = _distances(vectors, centres).min(1)
        total = gap.sum()
        chosen = int(rng.choice(len(vectors), p=gap / total if total > 0 else None))
        centres = np.concatenate([centres, vectors[[chosen]]])
    for _ in range(10):
        own = np.eye(size)[nearest(vectors, centres)]
        counts = own.sum(0)[:, None]
        centres = np.where(counts > 0, own.T @ vectors / np.maximum(counts, 1), centres)
    return centres


def nearest(vectors: Array, centres: Array) -> NDArray[np.int64]:
    """Index of the nearest centre: (n, D), (K, D) -> (n,)."""
    return _distances(vectors, centres).argmin(1)


def _distances(vectors: Array, centres: Array) -> Array:
    squares = np.square(vectors).sum(1)[:, None] - 2 * vectors @ centres.T + np.square(centres).sum(1)
    return np.maximum(squares, 0)


def shrunk_covariance(vectors: NDArray[np.floating[Any]]) -> Array:
    """Covariance of few vectors in many dimensions, led towards a sphere as far as they call for: (n, D) -> (D, D).

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2.
    """
    apart = vectors - vectors.mean(0, dtype=np.float64)
    count, size = apart.shape
    covariance = apart.T @ apart / count
    sphere = np.trace(covariance) / size * np.eye(size)
    distance = np.square(covariance - sphere).sum()
    lengths = np.square(apart).sum(1)
    noise = (np.square(lengths).sum() / count - np.square(covariance).sum()) / count
    share = min(noise, distance) / distance if distance > 0 else 0.0
    return np.asarray(share * sphere + (1 - share) * covariance)
