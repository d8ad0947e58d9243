"""Numbers of a pair against answers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from voiceae.evaluation.scores import (
    content_scores,
    cosine,
    mel_cepstral_distortion,
    pitch_correlation,
    pitch_offset_semitones,
    speaker_scores,
)

jiwer = pytest.importorskip("jiwer", reason="jiwer is not installed; pip install voiceae[eval]")


def test_error_rates_by_hand() -> None:
    scores = content_scores("the bat sat", "the cat sat", "The cat sat down.")
    assert scores["cer_recogniser"] == pytest.approx(1 / 11)  # one letter of eleven, spaces counted
    assert scores["wer_recogniser"] == pytest.approx(1 / 3)
    assert scores["cer_text"] == pytest.approx(6 / 16)  # one letter wrong and " down" missing
    assert scores["wer_text"] == pytest.approx(2 / 4)


def test_nothing_heard_is_all_wrong_and_no_text_is_no_figure() -> None:
    assert content_scores("", "the cat", None) == {"cer_recogniser": 1.0, "wer_recogniser": 1.0}


def test_error_rates_can_pass_one() -> None:
    assert content_scores("a b c d", "x", None)["wer_recogniser"] == 4.0


def test_cosine_does_not_know_length() -> None:
    assert cosine([1, 0], [3, 3]) == pytest.approx(math.sqrt(0.5))


def test_speaker_scores_say_which_clip_is_meant() -> None:
    clips = {"scored": [1.0, 0.0], "source_other": [0.0, 1.0], "source": [0.8, 0.6]}
    heard = {name: {"embedding": value} for name, value in clips.items()}
    scores = speaker_scores({"embedding": [0.9, math.sqrt(1 - 0.81)]}, heard, threshold=0.85)
    assert scores["sim_target"] == pytest.approx(0.9)
    assert scores["accepted"] == scores["nearer_target"] == 1.0
    assert scores["nearer_target_than_clip"] == 0.0
    assert speaker_scores({"embedding": [0.9, 0.4359]}, heard, threshold=0.95)["accepted"] == 0.0


def test_pitch_correlation_skips_unvoiced_frames_and_does_not_know_register() -> None:
    rng = np.random.default_rng(0)
    f0 = 200 * np.exp(0.2 * rng.standard_normal(100))
    other = 1.7 * f0
    f0[::5], other[1::5] = 0, 0
    assert pitch_correlation(f0, other) == pytest.approx(1.0)
    assert pitch_correlation(f0, np.full(100, 150.0)) is None
    assert pitch_correlation(f0[:20], other[:20]) is None


def test_an_octave_is_twelve_semitones() -> None:
    assert pitch_offset_semitones([100.0, 0, 100.0], [200.0, 200.0]) == pytest.approx(12.0)


def test_distortion_of_one_shifted_coefficient() -> None:
    cepstra = np.random.default_rng(0).standard_normal((40, 24)).cumsum(axis=0)
    # Another 0.1 in one coefficient is 10 / ln 10 * sqrt(2) * 0.1 dB, where nothing is gained by warping.
    steady = np.zeros((30, 24))
    assert mel_cepstral_distortion(steady, steady + np.eye(24)[0] * 0.1) == pytest.approx(0.61418, abs=1e-4)
    assert mel_cepstral_distortion(cepstra, cepstra) == pytest.approx(0.0, abs=1e-6)


def test_distortion_does_not_know_tempo() -> None:
    cepstra = np.random.default_rng(0).standard_normal((40, 24))
    assert mel_cepstral_distortion(cepstra, np.repeat(cepstra, 2, axis=0)) == pytest.approx(0.0, abs=1e-6)
