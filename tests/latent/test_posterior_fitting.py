from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError
from voiceae.latent.posterior import Posterior
from voiceae.latent.posterior_fitting import (
    fit_melody,
    fit_posterior,
    fit_voices,
    stationary_distribution,
    transition_matrix,
)
from voiceae.latent.recordings import find_clips


def test_codes_lie_where_the_model_puts_them(tiny_voice: Voice, speakers: Path, posterior: Posterior) -> None:
    """Law of total variance: the mixture's mean and covariance are those of the posteriors of all frames."""
    means, variances = [], []
    for clip in find_clips(tiny_voice, speakers / "deep"):
        content = tiny_voice.encode(clip.name)
        means.append(content.units[0].T.numpy())
        variances.append(tiny_voice.model.bottleneck.posterior(content.features)[1][0].exp().numpy())
    mean, variance = np.concatenate(means), np.concatenate(variances)
    mixture = posterior.content.mixture
    centre = mixture.weights @ mixture.means
    spread = mixture.weights @ (
        mixture.covariances.diagonal(axis1=1, axis2=2) + (mixture.means - centre) ** 2
    )
    np.testing.assert_allclose(centre, mean.mean(0), atol=0.15)
    np.testing.assert_allclose(spread, mean.var(0) + variance.mean(0), rtol=0.25)


def test_the_report_says_what_it_saw(posterior: Posterior) -> None:
    assert posterior.about["clips"] == 20 and posterior.about["speakers"] == 10
    assert posterior.about["nats_under_gaussian"] > posterior.about["nats_under_prior"]


def test_a_discrete_model_has_its_codes_for_components(
    vq_voice: Voice, speakers: Path, tmp_path: Path
) -> None:
    found, _ = fit_posterior(vq_voice, find_clips(vq_voice, speakers / "deep"))
    mixture = found.content.mixture
    assert mixture.size == found.about["codes_in_use"] > 3 and not mixture.factors.any()
    book = vq_voice.model.bottleneck.codebook.numpy()
    nearest = np.linalg.norm(mixture.means[:, None] - book, axis=2).min(1)
    np.testing.assert_allclose(nearest, 0, atol=1e-5)
    found.save(tmp_path / "p.safetensors")
    np.testing.assert_allclose(
        Posterior.read(tmp_path / "p.safetensors").content.mixture.means, mixture.means, rtol=1e-6
    )


def test_too_few_speakers(tiny_voice: Voice, speakers: Path) -> None:
    with pytest.raises(AudioError, match="4 clips of 2 speakers"):
        fit_posterior(tiny_voice, find_clips(tiny_voice, speakers, {"s1", "s2"}))


def test_a_chain_is_counted_and_its_long_run_known() -> None:
    rng = np.random.default_rng(0)
    true = np.array([[0.9, 0.1, 0], [0.2, 0.5, 0.3], [0, 0.4, 0.6]])
    chain = [0]
    for _ in range(20000):
        chain.append(int(rng.choice(3, p=true[chain[-1]])))
    found = transition_matrix([np.array(chain)], 3)
    np.testing.assert_allclose(found, true, atol=0.02)
    np.testing.assert_allclose(stationary_distribution(found), np.bincount(chain) / len(chain), atol=1e-3)


def test_a_melody_is_that_of_its_process() -> None:
    rng = np.random.default_rng(1)
    track = np.zeros(20000)
    for place in range(1, len(track)):
        track[place] = 0.9 * track[place - 1] + np.sqrt(1 - 0.81) * 0.2 * rng.standard_normal()
    track[rng.random(len(track)) < 0.3] = np.nan
    track[::100] = 3.0  # octave errors
    found = fit_melody([track])
    assert found.deviation == pytest.approx(0.2, rel=0.1) and found.steadiness == pytest.approx(0.9, abs=0.02)
    assert fit_melody([np.full(5, np.nan)]).deviation == 0


def test_voices_are_fitted_with_what_goes_with_them() -> None:
    rng = np.random.default_rng(2)
    voices = []
    for _ in range(200):
        high = rng.standard_normal()
        vector = np.eye(5)[0] + 0.3 * high * np.eye(5)[1] + 0.05 * rng.standard_normal(5)
        colour = MelStatistics(
            np.full(2, high, np.float32), np.exp(np.full(2, 0.1 * high)).astype(np.float32), 30
        )
        voices.append(
            SpeakerProfile((vector / np.linalg.norm(vector)).astype(np.float32), 1 + 0.5 * high, colour)
        )
    found = fit_voices(voices, 1, rng)
    drawn = found.offset + found.scale * found.mixture.sample(4000, rng)
    pitch, brightness = drawn[:, 5], drawn[:, 6]
    assert pitch.std() == pytest.approx(0.5, rel=0.15)
    assert np.corrcoef(pitch, brightness)[0, 1] > 0.9 and np.corrcoef(pitch, drawn[:, 1])[0, 1] > 0.9
    assert found.frames == 30 and found.size == 5
