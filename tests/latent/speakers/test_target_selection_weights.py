from __future__ import annotations

from pathlib import Path

import pytest

from voiceae.errors import EmbeddingError
from voiceae.latent.speakers.target_selection import WeightedName, normalised_weights, parse_weighted_name


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a.wav", WeightedName("a.wav", None)),
        ("a.wav:0.7", WeightedName("a.wav", 0.7)),
        ("bob:-1", WeightedName("bob", -1.0)),
        ("gender:+0.5", WeightedName("gender", 0.5)),
        ("s.npz:225", WeightedName("s.npz:225", None)),
        ("s.npz:225:0.5", WeightedName("s.npz:225", 0.5)),
        ("s.npz:bob", WeightedName("s.npz:bob", None)),
        ("v.npy:2", WeightedName("v.npy", 2.0)),
    ],
)
def test_a_name_and_a_number(text: str, share: WeightedName) -> None:
    assert parse_weighted_name(text) == share


@pytest.mark.parametrize(
    ("text", "reason"), [("a.wav:0,7", "is no number"), ("a.wav:nan", "finite"), ("a:inf", "finite")]
)
def test_bad_numbers_are_refused(text: str, reason: str) -> None:
    with pytest.raises(EmbeddingError, match=reason):
        parse_weighted_name(text)


def test_a_file_of_that_name_is_a_file(tmp_path: Path) -> None:
    odd = tmp_path / "a:1"
    odd.touch()
    assert parse_weighted_name(str(odd)) == WeightedName(str(odd), None)


def test_weights_sum_to_one() -> None:
    assert normalised_weights([WeightedName("a", 3), WeightedName("b", 1)]) == [0.75, 0.25]
    assert normalised_weights([WeightedName("a", None), WeightedName("b", None)]) == [0.5, 0.5]
    assert normalised_weights([WeightedName("a", 1.5), WeightedName("b", -0.5)]) == [1.5, -0.5]


def test_weights_that_do_not_sum_are_refused() -> None:
    with pytest.raises(EmbeddingError, match=r"sum to 0 \(0.5 \+ -0.5\)"):
        normalised_weights([WeightedName("a", 0.5), WeightedName("b", -0.5)])
    with pytest.raises(EmbeddingError, match="b: has no weight"):
        normalised_weights([WeightedName("a", 0.5), WeightedName("b", None)])
