from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from voiceae.conversion.speaker_profile import SpeakerProfile, spherical_mean
from voiceae.errors import EmbeddingError


def units(rng: np.random.Generator, count: int, size: int = 6) -> np.ndarray:
    vectors = rng.standard_normal((count, size))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0, 1.3])
def test_of_two_it_is_shoemakes_formula(rng: np.random.Generator, share: float) -> None:
    a, b = units(rng, 2)
    angle = np.arccos(a @ b)
    slerp = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    np.testing.assert_allclose(spherical_mean([a, b], [1 - share, share]), slerp, atol=1e-6)


def test_of_several_the_weighted_arcs_balance(rng: np.random.Generator) -> None:
    vectors = units(rng, 4) + np.eye(6)[0] * 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = [0.1, 0.2, 0.3, 0.4]
    found = spherical_mean(vectors, weights).astype(np.float64)

    def total(place: np.ndarray) -> float:
        place = place / np.linalg.norm(place)
        return float(weights @ np.arccos(np.clip(vectors @ place, -1, 1)) ** 2)

    around = [total(found + 0.02 * rng.standard_normal(6)) for _ in range(50)]
    assert total(found) < min(around)


def test_opposites_have_no_way_between() -> None:
    with pytest.raises(EmbeddingError, match="opposite"):
        spherical_mean([np.eye(3)[0], -np.eye(3)[0]], [0.5, 0.5])


def test_weights_count_by_their_ratio_and_must_sum_to_something(rng: np.random.Generator) -> None:
    a, b = units(rng, 2).astype(np.float32)
    np.testing.assert_allclose(
        spherical_mean([a, b], [3, 1]), spherical_mean([a, b], [0.75, 0.25]), atol=1e-6
    )
    with pytest.raises(EmbeddingError, match="more than zero"):
        spherical_mean([a, b], [1, -1])
    with pytest.raises(EmbeddingError, match="one each"):
        spherical_mean([a, b], [1])


def test_a_voice_on_the_arc_turns_at_constant_speed(rng: np.random.Generator) -> None:
    a, b = (
        SpeakerProfile(vector.astype(np.float32), pitch)
        for vector, pitch in zip(units(rng, 2), (1.0, 2.0), strict=True)
    )
    way = [SpeakerProfile.mean([a, b], [1 - share, share], spherical=True) for share in np.linspace(0, 1, 5)]
    angles = [np.arccos(np.clip(p.embedding @ q.embedding, -1, 1)) for p, q in pairwise(way)]
    np.testing.assert_allclose(angles, np.arccos(a.embedding @ b.embedding) / 4, atol=1e-3)
    assert way[1].pitch_centre == pytest.approx(1.25)
