from __future__ import annotations

import json
from dataclasses import replace
from math import erf, sqrt
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from voiceae.assets import find_model
from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.errors import EmbeddingError, OutputError
from voiceae.io.modelfile import read_header
from voiceae.latent.speakers.attributes import (
    Attribute,
    Classes,
    bundled_attributes,
    find_attribute,
    fit_attribute,
)
from voiceae.latent.speakers.target_selection import move_along_attributes

SIZE = 20


def blob(rng: np.random.Generator, count: int, gap: float, side: bool) -> dict[str, list[SpeakerProfile]]:
    """Speakers about a base vector, the two sides `gap` deviations apart along the second axis."""
    found = {}
    for number in range(count):
        vector = np.eye(SIZE)[0] * 10 + rng.standard_normal(SIZE)
        vector[1] += gap / 2 if side else -gap / 2
        colour = MelStatistics(np.full(3, 2.0 * side, np.float32), np.full(3, np.e**side, np.float32), 10.0)
        found[f"{side}{number}"] = [
            SpeakerProfile((vector / np.linalg.norm(vector)).astype(np.float32), 1.0 + side, colour)
        ]
    return found


def speakers(
    rng: np.random.Generator, count: int = 60, gap: float = 3.0
) -> tuple[dict[str, list[SpeakerProfile]], Classes]:
    voices = blob(rng, count, gap, False) | blob(rng, count, gap, True)
    return voices, Classes("no", "yes", {name: name.startswith("True") for name in voices})


@pytest.fixture
def fitted(rng: np.random.Generator) -> Attribute:
    return fit_attribute("age", *speakers(rng), "f00d")


def test_it_is_the_difference_of_means_with_what_goes_with_it(
    rng: np.random.Generator, fitted: Attribute
) -> None:
    voices, classes = speakers(rng)
    found = fit_attribute("age", voices, classes, "f00d")
    sides = [
        np.mean([voices[n][0].embedding for n in voices if classes.members[n] == side], 0)
        for side in (False, True)
    ]
    np.testing.assert_allclose(found.direction, sides[1] - sides[0], atol=1e-6)
    assert found.octaves == pytest.approx(1)
    np.testing.assert_allclose(found.mel_mean, 2, atol=1e-6)
    np.testing.assert_allclose(found.mel_log_deviation, 1, atol=1e-6)
    assert found.score(np.array(sides)) == pytest.approx([-0.5, 0.5])
    assert abs(found.direction[1]) > 5 * np.abs(np.delete(found.direction, 1)).max()


def test_accuracy_is_that_of_the_best_line(rng: np.random.Generator) -> None:
    found = fit_attribute("x", *speakers(rng, 400, gap=2.0), "f00d")
    assert found.held_out.accuracy == pytest.approx(0.5 * (1 + erf(1 / sqrt(2))), abs=0.04)  # Phi(gap / 2)
    assert (found.held_out.negative, found.held_out.positive, found.held_out.folds) == (400, 400, 5)
    assert found.held_out.pitch_accuracy == 1


def test_accuracy_is_held_out(rng: np.random.Generator) -> None:
    voices, classes = speakers(
        rng, 12, gap=0.0
    )  # more numbers than speakers: the side of fitted ones is always told
    vectors = np.stack([profile[0].embedding for profile in voices.values()]).astype(np.float64)
    sides = np.array(list(classes.members.values()))
    fitted = fit_attribute("x", voices, classes, "m")
    assert balanced_accuracy_score(sides, fitted.score(vectors) > 0) > 0.7
    scores = [
        fit_attribute("x", *speakers(rng, 12, gap=0.0), "m", seed=seed).held_out.accuracy
        for seed in range(12)
    ]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.12)


def test_moving_leads_from_side_to_side(fitted: Attribute) -> None:
    voice = SpeakerProfile(
        np.eye(SIZE, dtype=np.float32)[0],
        1.0,
        MelStatistics(np.zeros(3, np.float32), np.ones(3, np.float32), 7),
    )
    there = fitted.move(voice, 1.0)
    assert np.linalg.norm(there.embedding) == pytest.approx(1, abs=1e-6)
    assert (
        fitted.score(there.embedding[None])
        > fitted.score(voice.embedding[None])
        > fitted.score(fitted.move(voice, -1).embedding[None])
    )
    assert (
        there.pitch_centre == pytest.approx(2)
        and there.mel_statistics is not None
        and there.mel_statistics.frames == 7
    )
    np.testing.assert_allclose(there.mel_statistics.deviation, np.e, rtol=1e-5)
    still = fitted.move(voice, 0.0)
    np.testing.assert_allclose(still.embedding, voice.embedding, atol=1e-7)
    bare = fitted.move(SpeakerProfile(voice.embedding), 1.0)
    assert bare.pitch_centre is None and bare.mel_statistics is None
    with pytest.raises(EmbeddingError, match="has 20 numbers, the voice 3"):
        fitted.move(SpeakerProfile(np.eye(3, dtype=np.float32)[0]), 1.0)


def test_it_comes_back_from_its_file(fitted: Attribute, tmp_path: Path) -> None:
    path = tmp_path / "age.json"
    fitted.save(path)
    again = Attribute.read(path, "f00d")
    np.testing.assert_allclose(again.direction, fitted.direction, rtol=1e-6)
    assert (again.held_out, again.negative, again.octaves) == (fitted.held_out, "no", fitted.octaves)
    with pytest.raises(OutputError):
        fitted.save(path)
    with pytest.raises(EmbeddingError, match="made with model f00d, this one is beef"):
        Attribute.read(path, "beef")


@pytest.mark.parametrize(
    "damage",
    [
        lambda plain: "[]",
        lambda plain: "no json",
        lambda plain: json.dumps({**plain, "kind": "posterior"}),
        lambda plain: json.dumps({**plain, "format": 99}),
        lambda plain: json.dumps({**plain, "direction": [[1.0]]}),
        lambda plain: json.dumps({k: v for k, v in plain.items() if k != "octaves"}),
    ],
)
def test_damaged_files_are_refused(fitted: Attribute, tmp_path: Path, damage) -> None:
    path = tmp_path / "age.json"
    fitted.save(path)
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(EmbeddingError, match="is not a fitted attribute"):
        Attribute.read(path)


def test_steps_are_taken_one_after_the_other(fitted: Attribute, tmp_path: Path) -> None:
    path = tmp_path / "age.json"
    fitted.save(path)
    voice = SpeakerProfile(np.eye(SIZE, dtype=np.float32)[0], 1.0)
    moved = move_along_attributes(voice, [f"{path}:+0.5", f"{path}:-0.25"], "f00d")
    assert moved.pitch_centre == pytest.approx(1.25)
    with pytest.raises(EmbeddingError, match="has no amount"):
        move_along_attributes(voice, [str(path)], "f00d")
    with pytest.raises(EmbeddingError, match="no such attribute"):
        find_attribute("nothing")


def test_too_few_speakers(rng: np.random.Generator) -> None:
    voices, classes = speakers(rng, 3)
    with pytest.raises(EmbeddingError, match="1 yes among the speakers"):
        fit_attribute("x", {k: v for k, v in voices.items() if k not in ("True0", "True1")}, classes, "m")


def test_bundled_attributes_are_of_the_bundled_model() -> None:
    ours = read_header(find_model("base")).checksum
    for name, path in bundled_attributes().items():
        assert Attribute.read(path, ours).name == name


def test_an_attribute_of_other_mel_bins_is_refused(rng: np.random.Generator, fitted: Attribute) -> None:
    voice = speakers(rng)[0]["True0"][0]
    assert fitted.move(voice, 0.5).mel_statistics is not None
    for bins in ({"mel_mean": np.zeros(4)}, {"mel_log_deviation": np.zeros(2)}):
        with pytest.raises(EmbeddingError, match="mel bins, the voice 3"):
            replace(fitted, **bins).move(voice, 0.5)
