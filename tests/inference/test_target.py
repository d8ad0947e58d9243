from __future__ import annotations

import numpy as np

from voiceae.inference.target import downmixed, is_wave


def test_a_wave_with_its_rate_is_not_two_targets() -> None:
    wave = np.zeros(4)
    assert is_wave((wave, 16000)) and is_wave((wave, np.int64(16000)))
    assert not any(map(is_wave, [(wave, wave), [wave, 16000], ("a.wav", "b.wav"), "ab", wave, (wave, 1, 2)]))


def test_channels_are_averaged() -> None:
    stereo = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    np.testing.assert_array_equal(downmixed(stereo, 16000).wav, [2, 2, 2])
    assert downmixed(stereo.T, 16000).wav.shape == (3, 2)  # left for the door to refuse
    assert downmixed(np.ones((2, 9), np.int16), 16000).wav.dtype == np.int16  # the same
