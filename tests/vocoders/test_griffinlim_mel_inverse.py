"""Mel magnitudes back to linear ones, against scipy's exact solver."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize
import torch
from torch import Tensor

from voiceae.dsp.spectrum import mel_filters
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import MelInverse


def test_speech_is_explained_to_three_thousandths(spec: AudioSpec, mels: list[Tensor]) -> None:
    mel = torch.cat(mels, dim=1).T[None]
    found = MelInverse(spec)(mel)[0].double().numpy()
    wanted = mel[0].exp().double().numpy()
    filters = mel_filters(spec)[:, : found.shape[1]]
    residual = np.linalg.norm(found @ filters.T - wanted) / np.linalg.norm(wanted)
    started = np.linalg.norm(np.maximum(wanted @ np.linalg.pinv(filters).T, 0) @ filters.T - wanted)
    assert (found >= 0).all()
    assert residual <= 0.003
    assert residual <= 0.1 * started / np.linalg.norm(wanted)


def test_targets_out_of_reach_get_the_least_whitened_residual() -> None:
    spec = AudioSpec()
    target = np.random.default_rng(0).exponential(size=(6, 80))
    target[:, ::2] *= 1e-3  # neighbouring filters overlap too much for this
    inverse = MelInverse(spec, n_steps=3000)
    found = inverse(torch.tensor(target).float().log()[None])[0].double().numpy()
    filters = mel_filters(spec)[:, : inverse.bins]
    white = np.linalg.inv(scipy.linalg.sqrtm(filters @ filters.T).real)
    for row, ours in zip(target, found, strict=True):
        least = scipy.optimize.nnls(white @ filters, white @ row)[1]
        assert least > 0.01, "the case is meant to be out of reach"
        np.testing.assert_allclose(np.linalg.norm(white @ (filters @ ours - row)), least, rtol=1e-3)


def test_bins_above_the_last_filter_are_left_out(spec: AudioSpec) -> None:
    inverse = MelInverse(spec)
    assert inverse.bins == int(8000 / (spec.sample_rate / spec.n_fft)) + 1
    assert not mel_filters(spec)[:, inverse.bins :].any()
