"""The yardsticks do the same work: all three mels agree."""

from __future__ import annotations

import numpy as np
import torch

from voiceae.benchmark.measuring import librosa_mel, speechlike, torchaudio_mel
from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec


def test_they_are_the_same_mel() -> None:
    spec = AudioSpec()
    wav = speechlike(0.5, spec.sample_rate)
    ours = LogMel(spec)(torch.from_numpy(wav)).numpy()
    loud = ours > -8  # below, the epsilon of the magnitude shows
    for theirs in (torchaudio_mel(spec)(torch.from_numpy(wav)).numpy(), librosa_mel(spec)(wav)):
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours)[loud].max() < 1e-2
