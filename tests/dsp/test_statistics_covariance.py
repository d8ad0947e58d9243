"""Covariances of low cepstra, and mels that are given them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dct

from voiceae.dsp.activity import active_frames
from voiceae.dsp.statistics import (
    CEPSTRA,
    MAX_CHANGE_NATS,
    active_covariance,
    basis,
    covariance_match,
)

pytestmark = pytest.mark.numeric

OTHERS = [0, *range(CEPSTRA + 1, 80)]


def speech(frames: int, seed: int, scale: float = 0.1) -> np.ndarray:
    """Noise whose bins vary together in another way for every seed."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(80) + 0.05 * rng.standard_normal((80, 80))
    return (-5 + scale * mixing @ rng.standard_normal((80, frames))).astype(np.float32)


def test_the_basis_is_that_of_scipy() -> None:
    np.testing.assert_allclose(basis(80), dct(np.eye(80), axis=0, norm="ortho")[1 : CEPSTRA + 1], atol=1e-12)
    assert basis(10).shape == (9, 10)


def test_a_covariance_is_that_of_numpy_over_the_frames_that_are_loud_for_torch() -> None:
    mel = speech(600, seed=1)
    mel[:, ::3] -= np.linspace(0, 9, 200, dtype=np.float32)
    loud = active_frames(torch.from_numpy(mel)[None])[0].numpy()
    assert 400 < loud.sum() < 590
    wanted = np.cov(dct(mel[:, loud], axis=0, norm="ortho")[1 : CEPSTRA + 1], bias=True)
    np.testing.assert_allclose(active_covariance(mel), wanted, atol=1e-5)


def test_all_the_way_is_the_voices_covariance() -> None:
    mel, voice = speech(50_000, seed=1), active_covariance(speech(50_000, seed=2))
    there = active_covariance(covariance_match(mel, voice, 1e9, 1.0, fraction=1.0)(mel))
    before, after = (np.abs(each - voice).max() for each in (active_covariance(mel), there))
    assert after < 0.01 * before
    half = covariance_match(mel, voice, 1e9, 1.0, fraction=0.5)(mel)
    np.testing.assert_allclose(
        half - mel, (covariance_match(mel, voice, 1e9, 1.0, fraction=1.0)(mel) - mel) / 2, atol=1e-5
    )


def test_mean_and_level_and_high_cepstra_stay() -> None:
    mel = speech(5_000, seed=1)
    change = covariance_match(mel, active_covariance(speech(5_000, seed=2)), 5_000, 1.0)(mel) - mel
    assert np.abs(change).max() > 0.02
    np.testing.assert_allclose(change.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(dct(change, axis=0, norm="ortho")[OTHERS], 0, atol=1e-5)


def test_own_covariance_and_no_strength_change_nothing() -> None:
    mel = speech(2_000, seed=1)
    np.testing.assert_allclose(covariance_match(mel, active_covariance(mel), 2_000, 1.0)(mel), mel, atol=1e-4)
    other = active_covariance(speech(2_000, seed=2))
    np.testing.assert_array_equal(covariance_match(mel, other, 2_000, 0.0)(mel), mel)


@pytest.mark.parametrize(("own", "theirs"), [(1, 2_000), (3, 2_000), (2_000, 3)])
def test_few_frames_are_trusted_little(own: int, theirs: int) -> None:
    """A frame or two have no covariance of their own; what comes after must not be blown up to the voice's."""
    mel, later = speech(own, seed=1), speech(500, seed=3)
    voice = active_covariance(speech(theirs, seed=2, scale=0.5))
    changed = covariance_match(mel, voice, theirs, 1.0)(later)
    assert np.abs(changed - later).max() < 0.02 * np.abs(later - mel.mean(1, keepdims=True)).max()


def test_a_slip_of_the_network_is_not_made_a_click() -> None:
    mel = speech(2_000, seed=1)
    mel[:20, 700] = -1.0  # forty deviations above the mean
    mel[:, 900] = -11.0
    wider = covariance_match(mel, active_covariance(speech(2_000, seed=2, scale=3.0)), 2_000, 1.0)(mel)
    assert active_covariance(wider).trace() > 1.8 * active_covariance(mel).trace()
    assert np.abs(wider - mel).max() == pytest.approx(MAX_CHANGE_NATS)


def test_a_broken_network_is_left_to_others() -> None:
    mel = speech(50, seed=1)
    mel[3, 7] = np.nan
    left = covariance_match(mel, active_covariance(speech(50, seed=2)), 50, 1.0)(mel)
    np.testing.assert_array_equal(np.delete(left, 7, axis=1), np.delete(mel, 7, axis=1))
    assert np.isnan(left[:, 7]).all()
