"""The yardsticks: all three mels agree, and the network has the published size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voiceae.benchmark.measuring import synthetic_speech
from voiceae.benchmark.part_stages import AdaINYardstick, librosa_mel, spectral_convergence, torchaudio_mel
from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec


def test_they_are_the_same_mel() -> None:
    spec = AudioSpec()
    wav = synthetic_speech(0.5, spec.sample_rate)
    ours = LogMel(spec)(torch.from_numpy(wav)).numpy()
    loud = ours > -8  # below, the epsilon of the magnitude shows
    for theirs in (torchaudio_mel(spec)(torch.from_numpy(wav)).numpy(), librosa_mel(spec)(wav)):
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours)[loud].max() < 1e-2


def test_the_yardstick_has_the_published_size() -> None:
    network = AdaINYardstick().eval()
    parameters = sum(weight.numel() for weight in network.parameters())
    assert 4e6 < parameters < 10e6
    with torch.inference_mode():
        assert network(torch.randn(1, 512, 80), torch.randn(1, 512, 40)).shape == (1, 512, 80)


def test_convergence_of_a_scaled_spectrum() -> None:
    target = np.random.default_rng(0).random((5, 7))
    assert spectral_convergence(target, 1.1 * target) == pytest.approx(0.1)
