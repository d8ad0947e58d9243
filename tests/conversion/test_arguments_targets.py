from __future__ import annotations

import numpy as np
import pytest

from voiceae.conversion.arguments import is_wave
from voiceae.errors import AudioError
from voiceae.io.audio import as_source


def test_a_wave_with_its_rate_is_not_two_targets() -> None:
    wave = np.zeros(4)
    assert is_wave((wave, 16000)) and is_wave((wave, np.int64(16000)))
    assert not any(map(is_wave, [(wave, wave), [wave, 16000], ("a.wav", "b.wav"), "ab", wave, (wave, 1, 2)]))


def test_channels_are_averaged() -> None:
    stereo = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    np.testing.assert_array_equal(as_source((stereo, 16000)).wav, [2, 2, 2])
    for wrong in (stereo.T, np.ones((2, 9), np.int16)):
        with pytest.raises(AudioError, match="one channel of floats"):
            as_source((wrong, 16000))
