from __future__ import annotations

from pathlib import Path

import numpy as np

from voiceae.conversion.voice import Voice
from voiceae.latent.recordings import describe_mel, encode_mel


def test_a_mel_is_heard_as_its_recording_is(tiny_voice: Voice, speakers: Path) -> None:
    file = speakers / "deep/s3/1.wav"
    mel = tiny_voice.mel(file)
    ours, theirs = describe_mel(tiny_voice, mel), tiny_voice.profile(file)
    np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-6)
    assert ours.pitch_centre == theirs.pitch_centre
    np.testing.assert_allclose(ours.mel_statistics.pack(), theirs.mel_statistics.pack(), rtol=1e-5)
    np.testing.assert_allclose(ours.mel_statistics.covariance, theirs.mel_statistics.covariance, rtol=1e-5)
    np.testing.assert_allclose(encode_mel(tiny_voice, mel).units, tiny_voice.encode(file).units, atol=1e-6)
