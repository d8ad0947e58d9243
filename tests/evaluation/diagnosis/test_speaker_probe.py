"""The probe on units of which it is known where the voice is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voiceae.evaluation.diagnosis import Verdict
from voiceae.evaluation.diagnosis.speaker_probe import find_voice_in_units, halves, probe, unit_statistics

SPEAKERS, CLIPS, FRAMES, UNITS = 12, 8, 60, 16


def clips(rng: np.random.Generator, mean: float, deviation: float) -> tuple[np.ndarray, list[str]]:
    """Statistics of random units whose mean and deviation depend on the speaker as far as is said."""
    rows, names = [], []
    for speaker in range(SPEAKERS):
        shift, swing = rng.standard_normal((2, UNITS, 1))
        for _ in range(CLIPS):
            frames = rng.standard_normal((UNITS, FRAMES)) * np.exp(deviation * swing) + mean * shift
            # As instance norm leaves them where the mean is to say nothing.
            frames = frames if mean else frames - frames.mean(axis=1, keepdims=True)
            rows.append(unit_statistics(torch.from_numpy(frames[None])))
            names.append(f"s{speaker:02d}")
    return np.array(rows), names


def test_statistics_are_mean_and_deviation_of_each_unit() -> None:
    units = torch.tensor([[[1.0, 3.0], [5.0, 5.0]]])
    np.testing.assert_allclose(unit_statistics(units), [2, 5, 1, 0])


def test_every_speaker_has_half_of_the_clips_in_either_part() -> None:
    speakers = ["a"] * 6 + ["b"] * 5
    fit, scored = halves(speakers, 0)
    assert not (fit & scored).any() and (fit | scored).all()
    owner = np.array(speakers)
    assert [int(fit[owner == name].sum()) for name in "ab"] == [3, 3]
    assert any((halves(speakers, seed)[0] != fit).any() for seed in range(1, 4)), "drawn, not the first half"


def test_the_probe_is_asked_about_clips_that_it_did_not_learn_from() -> None:
    # Noise that says nothing can be learnt by heart, so only clips that were seen would be named right.
    noise, names = np.random.default_rng(0).standard_normal((96, 400)), [f"s{i // 8}" for i in range(96)]
    fit, scored = halves(names, 0)
    assert probe(noise, names, fit, fit).mean() > 0.95
    assert probe(noise, names, fit, scored).mean() < 0.25  # chance is 8 %


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.5), (1.0, 0.0)])
def test_a_voice_in_deviation_or_mean_is_found(mean: float, deviation: float) -> None:
    rng = np.random.default_rng(1)
    units, names = clips(rng, mean, deviation)
    found = find_voice_in_units(units, units, names, 0)
    assert found.verdict is Verdict.FAILED and found.figures["accuracy"]["units"] > 0.9
    assert found.figures["accuracy"]["shuffled"] < 0.3
    low, high = found.figures["interval"]
    assert low <= found.figures["accuracy"]["units"] <= high
    assert found.figures["clips_to_fit"] == found.figures["clips_scored"] == SPEAKERS * CLIPS // 2


def test_units_without_a_voice_are_at_chance() -> None:
    rng = np.random.default_rng(2)
    (nothing, names), (plain, _) = clips(rng, 0.0, 0.0), clips(rng, 1.0, 0.5)
    found = find_voice_in_units(nothing, plain, names, 0)
    assert found.verdict is Verdict.OK and found.figures["accuracy"]["mel"] > 0.9
    assert found.figures["accuracy"]["units"] < 0.3 and found.figures["chance"] == pytest.approx(1 / 12)
    assert "of 12 unseen speakers" in found.reason


def test_speech_that_shows_no_voice_anywhere_is_told() -> None:
    rng = np.random.default_rng(3)
    nothing, names = clips(rng, 0.0, 0.0)
    assert "so no leak can show" in find_voice_in_units(nothing, nothing, names, 0).reason


def test_a_unit_that_never_varies_does_no_harm() -> None:
    units, names = clips(np.random.default_rng(4), 0.0, 0.5)
    dead = np.concatenate([units, np.zeros((len(units), 3))], axis=1)
    fit, scored = halves(names, 0)
    assert (probe(dead, names, fit, scored) == probe(units, names, fit, scored)).all()
