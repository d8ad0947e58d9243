from __future__ import annotations

import numpy as np
import pytest

from voiceae.errors import ConfigError
from voiceae.latent.mixture import Mixture, fit_gaussian, fit_mixture, shrunk_covariance


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
    fitted = fit_gaussian(clouds)
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


def test_it_fits_as_well_as_scikit_learn(clouds: np.ndarray) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    theirs = mixture.GaussianMixture(3, random_state=0).fit(clouds).score(clouds)
    ours = fit_mixture(clouds, 3, np.random.default_rng(0))
    assert ours.log_density(clouds).mean() == pytest.approx(theirs, abs=0.01)
    np.testing.assert_allclose(np.sort(ours.weights), [200 / 1200, 400 / 1200, 600 / 1200], atol=0.02)


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


def test_shrinkage_is_that_of_scikit_learn() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    rows = np.random.default_rng(5).standard_normal((30, 40)) * np.linspace(0.5, 2, 40)
    np.testing.assert_allclose(shrunk_covariance(rows), covariance.ledoit_wolf(rows)[0], rtol=1e-10)
