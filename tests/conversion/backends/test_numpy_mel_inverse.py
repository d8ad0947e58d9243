from __future__ import annotations

import numpy as np
import torch

from voiceae.conversion.backends.numpy_mel_inverse import MelInverse, click_positions
from voiceae.dsp.mel_filters import mel_filters
from voiceae.specs import AudioSpec
from voiceae.vocoders.mel_inverse import MelInverse as OnTorch
from voiceae.vocoders.mel_inverse import click_positions as pulses_on_torch

SPEC = AudioSpec()


def test_magnitudes_are_those_of_torch_and_have_the_given_mels() -> None:
    rng = np.random.default_rng(0)
    spectrum = rng.gamma(0.5, size=(20, SPEC.n_bins))
    mel = np.log(np.maximum(spectrum @ mel_filters(SPEC).T, SPEC.log_floor)).astype(np.float32)
    inverse = MelInverse(SPEC)
    found = inverse(mel)
    np.testing.assert_allclose(found, OnTorch(SPEC)(torch.from_numpy(mel)[None])[0].numpy(), atol=1e-4)
    again = found @ mel_filters(SPEC)[:, : inverse.bins].T
    assert np.linalg.norm(again - np.exp(mel)) <= 0.02 * np.linalg.norm(np.exp(mel))


def test_clicks_are_heard_where_torch_hears_them() -> None:
    rng = np.random.default_rng(0)
    energy = (1e-3 * rng.random(60)).astype(np.float32)
    energy[[20, 21, 22]], energy[[40, 41, 42]] = (0.4, 1.0, 0.6), (0.0, 5.0, 4.9)
    wanted = pulses_on_torch(torch.from_numpy(energy)[None], SPEC)[0].numpy()
    found = click_positions(energy, SPEC)
    assert np.isfinite(found).sum() >= 4
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-2)


def test_no_clicks_where_windows_hardly_overlap() -> None:
    spec = AudioSpec(n_fft=512, win_length=512, hop_length=256)
    assert np.isnan(click_positions(np.array([0.0, 1.0, 0.0], np.float32), spec)).all()
