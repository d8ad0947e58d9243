from __future__ import annotations

import numpy as np
import pytest

from voiceae.errors import ConfigError
from voiceae.latent.posterior import Mixture
from voiceae.latent.posterior_fitting import fit_mixture


@pytest.fixture(scope="module")
def clouds() -> np.ndarray:
    rng = np.random.default_rng(3)
    centres = np.array([[0, 0, 0], [8, 0, 0], [0, 8, 2]])
    shapes = rng.standard_normal((3, 3, 3)) * 0.7 + np.eye(3)
    return np.concatenate(
        [
            c + rng.standard_normal((n, 3)) @ s
            for c, s, n in zip(centres, shapes, (200, 400, 600), strict=True)
        ]
    )


def test_one_gaussian_is_mean_and_covariance(clouds: np.ndarray) -> None:
    fitted = fit_mixture(clouds, 1)
    np.testing.assert_allclose(fitted.means[0], clouds.mean(0))
    np.testing.assert_allclose(fitted.covariances[0], np.cov(clouds.T, bias=True), rtol=2e-3, atol=2e-3)


def test_densities_are_those_of_scipy(clouds: np.ndarray) -> None:
    from scipy.stats import multivariate_normal

    fitted = fit_mixture(clouds, 3, np.random.default_rng(0))
    expected = sum(
        w * multivariate_normal(m, c).pdf(clouds[:50])
        for w, m, c in zip(fitted.weights, fitted.means, fitted.covariances, strict=True)
    )
    np.testing.assert_allclose(np.exp(fitted.log_density(clouds[:50])), expected, rtol=1e-8)


def test_it_finds_the_clouds(clouds: np.ndarray) -> None:
    fitted = fit_mixture(clouds, 3, np.random.default_rng(0))
    order = np.argsort(fitted.weights)
    np.testing.assert_allclose(fitted.weights[order], [200 / 1200, 400 / 1200, 600 / 1200], atol=0.02)
    for place, (start, stop) in zip(order, [(0, 200), (200, 600), (600, 1200)], strict=True):
        own = clouds[start:stop]
        np.testing.assert_allclose(fitted.means[place], own.mean(0), atol=0.1)
        np.testing.assert_allclose(fitted.covariances[place], np.cov(own.T, bias=True), atol=0.15)


def test_few_vectors_borrow_their_covariance_from_all() -> None:
    """In 60 dimensions three components of 80 vectors each are better than their own sample covariances."""
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 60)) @ (0.1 * rng.standard_normal((60, 60)) + np.eye(60))
    fitted = fit_mixture(vectors[:240], 3, np.random.default_rng(0))
    alone = GaussianMixture(3, random_state=0, reg_covar=1e-4).fit(vectors[:240])
    assert fitted.log_density(vectors[240:]).mean() > alone.score(vectors[240:]) + 10


def test_samples_have_its_moments(clouds: np.ndarray) -> None:
    fitted = fit_mixture(clouds, 3, np.random.default_rng(0))
    drawn = fitted.sample(20000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.mean(0), clouds.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(clouds.T), atol=0.7)


def test_points_have_no_spread() -> None:
    points = Mixture(np.array([0.5, 0.5]), np.array([[1.0, 2], [3, 4]]), np.zeros((2, 2, 2)))
    drawn = points.sample(20, np.random.default_rng(0))
    assert {tuple(row) for row in drawn} == {(1, 2), (3, 4)}


def test_too_few_vectors(clouds: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="3 components for 20 vectors"):
        fit_mixture(clouds[:20], 3, np.random.default_rng(0))
