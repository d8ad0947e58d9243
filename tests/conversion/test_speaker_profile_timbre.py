"""Frames of a voice in its profile: how many are kept, and of whom."""

from __future__ import annotations

import numpy as np
import pytest

from voiceae.conversion.speaker_profile import (
    MAX_TIMBRE_TOKENS,
    SpeakerProfile,
    checked_profile,
    pool_timbre,
)
from voiceae.errors import EmbeddingError

VECTORS = np.eye(4, dtype=np.float32)


def tokens(count: int, voice: int = 0) -> np.ndarray:
    """Each says whose it is and which."""
    return np.stack([np.full(count, voice), np.arange(count)], 1).astype(np.float32)


def profile(count: int | None, voice: int = 0) -> SpeakerProfile:
    return SpeakerProfile(VECTORS[voice], timbre=None if count is None else tokens(count, voice))


def counts(pooled: np.ndarray | None) -> list[int]:
    """Tokens of each voice."""
    assert pooled is not None
    return np.bincount(pooled[:, 0].astype(int)).tolist()


@pytest.mark.parametrize("count", [1, 11, MAX_TIMBRE_TOKENS])
def test_a_short_reference_is_kept_whole(count: int) -> None:
    np.testing.assert_array_equal(pool_timbre([(0.3, tokens(count))]), tokens(count))


def test_a_long_one_is_thinned_evenly_over_all_of_it() -> None:
    kept = pool_timbre([(1.0, tokens(1000))])
    assert kept is not None and len(kept) == MAX_TIMBRE_TOKENS
    steps = np.diff(kept[:, 1])
    assert set(steps) == {3.0, 4.0}  # of 3.9
    assert kept[0, 1] < 4 and kept[-1, 1] > 995


def test_several_count_alike_whatever_their_length() -> None:
    assert counts(SpeakerProfile.mean([profile(65), profile(65, 1)]).timbre) == [65, 65]
    assert counts(SpeakerProfile.mean([profile(1000), profile(300, 1)]).timbre) == [128, 128]
    pooled = SpeakerProfile.mean([profile(11), profile(200, 1)]).timbre
    assert np.ptp(counts(pooled)) <= 1
    assert set(pooled[pooled[:, 0] == 0][:, 1]) == set(range(11))  # each of the few, several times


def test_weights_are_shares_and_none_of_a_voice_without_one() -> None:
    voices = [profile(400), profile(400, 1), profile(400, 2)]
    assert counts(SpeakerProfile.mean(voices, [2, 1, 1]).timbre) == [128, 64, 64]
    assert counts(SpeakerProfile.mean(voices, [2, 0, 0]).timbre) == [256]
    assert counts(SpeakerProfile.mean(voices, [3, -1, 1]).timbre) == [192, 0, 64]
    for spherical in (False, True):
        assert counts(SpeakerProfile.mean(voices[:2], [0.25, 0.75], spherical=spherical).timbre) == [64, 192]


def test_without_frames_of_one_there_are_none_of_the_mean() -> None:
    assert SpeakerProfile.mean([profile(9), profile(None, 1)]).timbre is None
    assert counts(SpeakerProfile.mean([profile(9), profile(None, 1)], [1, 0]).timbre) == [9]


@pytest.mark.parametrize("wrong", [np.ones(2), np.ones((3, 3)), np.full((3, 2), np.nan)])
def test_tokens_of_another_size_are_refused(wrong: np.ndarray) -> None:
    voice = SpeakerProfile(VECTORS[0], timbre=wrong.astype(np.float32))
    with pytest.raises(EmbeddingError, match=r"bob: its timbre tokens are of shape .* needs tokens of 2 num"):
        checked_profile(voice, "bob", 4, 80, 2)
    assert checked_profile(profile(3), "bob", 4, 80, 2).timbre is not None
    with pytest.raises(EmbeddingError, match="this model needs none"):
        checked_profile(profile(3), "bob", 4, 80, 0)
