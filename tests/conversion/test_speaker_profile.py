from __future__ import annotations

import numpy as np
import pytest

from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile, checked_embedding, unit_mean
from voiceae.errors import EmbeddingError


def axis(index: int, length: float = 1.0) -> np.ndarray:
    vector = np.zeros(3, np.float32)
    vector[index] = length
    return vector


def test_mean_weighs_voices_not_lengths() -> None:
    np.testing.assert_allclose(unit_mean([axis(0, 5.0), axis(1, 0.1)]), [0.5**0.5, 0.5**0.5, 0], atol=1e-7)
    np.testing.assert_allclose(unit_mean([axis(0), axis(1)], [3, 4]), [0.6, 0.8, 0], atol=1e-7)


@pytest.mark.parametrize(
    ("vectors", "weights"),
    [([], None), ([axis(0)], [1.0, 2.0]), ([axis(0), -axis(0)], None), ([axis(0)], [np.nan])],
)
def test_no_voice_left(vectors: list[np.ndarray], weights: list[float] | None) -> None:
    with pytest.raises(EmbeddingError):
        unit_mean(vectors, weights)


def test_pitch_is_averaged_over_those_who_have_one() -> None:
    voices = [SpeakerProfile(axis(0), 1.0), SpeakerProfile(axis(1), 2.0), SpeakerProfile(axis(2))]
    assert SpeakerProfile.mean(voices).pitch_centre == pytest.approx(1.5)
    assert SpeakerProfile.mean(voices, [1, 3, 9]).pitch_centre == pytest.approx(1.75)
    assert SpeakerProfile.mean(voices[2:]).pitch_centre is None


def test_numpy_sees_the_vector() -> None:
    np.testing.assert_array_equal(np.asarray(SpeakerProfile(axis(1), 1.0)), axis(1))
    assert np.asarray(SpeakerProfile(axis(1)), dtype=np.float64).dtype == np.float64


def test_checked_brings_to_unit_length_and_says_the_size() -> None:
    np.testing.assert_allclose(checked_embedding(np.array([3, 4]), "e"), [0.6, 0.8])
    with pytest.raises(EmbeddingError, match=r"e: an embedding of shape \(2,\) .* expected 16 numbers"):
        checked_embedding(np.ones(2), "e", 16)


def test_colours_pool_by_weight_and_survive_packing():
    one = MelStatistics(np.zeros(4, np.float32), np.ones(4, np.float32), 10.0)
    other = MelStatistics(np.full(4, 4.0, np.float32), np.full(4, 3.0, np.float32), 30.0)
    voices = [SpeakerProfile(axis(0), 1.0, one), SpeakerProfile(axis(1), 2.0, other), SpeakerProfile(axis(2))]
    pooled = SpeakerProfile.mean(voices, [1.0, 3.0, 1.0]).mel_statistics
    np.testing.assert_allclose(pooled.mean, 3.0)
    np.testing.assert_allclose(pooled.deviation, 2.5)
    assert pooled.frames == 40.0
    back = MelStatistics.unpack(other.pack())
    np.testing.assert_array_equal(back.mean, other.mean)
    np.testing.assert_array_equal(back.deviation, other.deviation)
    assert back.frames == 30.0
    assert MelStatistics.unpack(np.full(9, np.nan, np.float32)) is None
    assert SpeakerProfile.mean(voices[2:]).mel_statistics is None


def test_covariances_pool_where_all_are_known_and_survive_packing() -> None:
    flat = np.zeros(4, np.float32)
    one, other = (
        MelStatistics(flat, flat, 10.0, np.array([[1, c], [c, 2]], np.float32)) for c in (0.5, -0.5)
    )
    voices = [
        SpeakerProfile(axis(0), 1.0, one),
        SpeakerProfile(axis(1), 2.0, other),
        SpeakerProfile(axis(2), 1.0, MelStatistics(flat, flat, 5.0)),
    ]
    np.testing.assert_allclose(
        SpeakerProfile.mean(voices[:2], [3.0, 1.0]).mel_statistics.covariance, [[1, 0.25], [0.25, 2]]
    )
    np.testing.assert_array_equal(
        SpeakerProfile.mean(voices, [2.0, 0.0, -1.0]).mel_statistics.covariance, one.covariance
    )
    assert SpeakerProfile.mean(voices).mel_statistics.covariance is None
    back = MelStatistics.unpack(other.pack(), other.pack_covariance())
    np.testing.assert_array_equal(back.covariance, other.covariance)
    assert MelStatistics.unpack(other.pack()).covariance is None
    assert MelStatistics.unpack(other.pack(), np.full(3, np.nan, np.float32)).covariance is None
