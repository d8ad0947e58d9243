from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError
from voiceae.latent.unit_tree import (
    align_phones,
    count_phones,
    draw_tree,
    ward_tree,
)
from voiceae.latent.units import codebook, codes_per_second, encode_units
from voiceae.pretrained.scorers import Phone, Recognised


class HalfAndHalf:
    """Hears one phone in the first half second, another after it."""

    def score(self, wav: np.ndarray) -> Recognised:
        return Recognised(("x",), (Phone("AA", 0.0, 0.5), Phone("S", 0.5, 9.0)), 1.0, 1.0)


def test_purity_by_hand() -> None:
    found = count_phones([np.array([0, 0, 0, 5])], [["AA", "AA", "S", "S"]])
    assert found.codes.tolist() == [0, 5] and found.phones == ("AA", "S")
    assert found.counts.tolist() == [[2, 1], [0, 1]]
    assert found.purity == 0.75 and found.chance == 0.5
    assert found.to_dict()["phone"] == {"0": "AA", "5": "S"}


def test_shuffled_phones_keep_their_numbers_and_lose_their_codes() -> None:
    codes = np.repeat(np.arange(8), 250)
    shuffled = count_phones([codes], [[f"P{code}" for code in codes]]).shuffled()
    assert shuffled.counts.sum(1).tolist() == shuffled.counts.sum(0).tolist() == [250] * 8
    assert shuffled.purity < 0.2 and shuffled.information < 0.02
    few = count_phones([np.arange(99)], [["AA", "S", "T"] * 33])  # a frame a code: pure, and means nothing
    assert few.purity == few.shuffled().purity == 1
    assert few.to_dict()["information_shuffled"] == 1


def test_information_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 9, 3000)
    phones = [("AA", "S", "T")[(code + rng.integers(0, 2)) % 3] for code in codes]
    found = count_phones([codes], [phones])
    entropy = -sum(p * np.log(p) for p in np.bincount([("AA", "S", "T").index(x) for x in phones]) / 3000)
    assert found.information == pytest.approx(metrics.mutual_info_score(codes, phones) / entropy)
    same = count_phones([np.array([0, 1, 2])], [["AA", "S", "T"]])
    assert (same.purity, same.information) == (1, pytest.approx(1))
    assert count_phones([np.zeros(4, int)], [["AA", "S", "T", "AA"]]).information == pytest.approx(
        0, abs=1e-12
    )


def test_codes_and_phones_meet_at_the_middle_of_a_frame(
    vq_voice: Voice, speakers: Path, tmp_path: Path
) -> None:
    files = [speakers / f"deep/s{n}/0.wav" for n in range(2)]
    (tmp_path / "bad.wav").write_text("no audio")
    found, failures = align_phones(vq_voice, HalfAndHalf(), [*files, tmp_path / "bad.wav"])
    half = int(np.floor(0.5 * codes_per_second(vq_voice) + 0.5))
    early = np.concatenate([encode_units(vq_voice, file, "a").codes[:half] for file in files])
    expected = [int((early == code).sum()) for code in found.codes]
    assert found.counts[:, found.phones.index("AA")].tolist() == expected
    assert len(failures) == 1
    with pytest.raises(AudioError, match="no recording could be used"):
        align_phones(vq_voice, HalfAndHalf(), [tmp_path / "bad.wav"])


def test_the_most_frequent_codes_are_kept() -> None:
    found = count_phones([np.array([3, 7, 7, 9, 9, 9])], [["S"] * 6]).top(2)
    assert found.codes.tolist() == [7, 9] and found.counts.tolist() == [[2], [3]]


def test_codes_can_be_counted_without_phones(vq_voice: Voice, speakers: Path) -> None:
    file = speakers / "deep/s1/0.wav"
    found, failures = align_phones(vq_voice, None, [file])
    codes = encode_units(vq_voice, file, "a").codes
    assert (found.phones, failures) == ((), []) and found.counts.sum() == len(codes)
    assert found.codes.tolist() == sorted(set(codes.tolist()))


def test_likes_are_joined_first() -> None:
    vectors = np.array([[0.0, 0], [10, 0], [0.1, 0], [10.2, 0]])
    tree = ward_tree(vectors)
    assert sorted(tree[0, :2]) == [0, 2] and tree[0, 2] == pytest.approx(0.1)
    assert sorted(tree[1, :2]) == [1, 3]


def test_it_is_drawn_with_and_without_phones(vq_voice: Voice, tmp_path: Path) -> None:
    codes = np.array([1, 4, 9])
    vectors = codebook(vq_voice, codes)
    np.testing.assert_allclose(vectors, vq_voice.model.bottleneck.codebook[[1, 4, 9]], atol=1e-6)
    purity = count_phones([np.array([1, 4, 9, 9])], [["AA", "S", "SIL", "SIL"]])
    draw_tree(vectors, codes, purity, tmp_path / "with.png")
    draw_tree(vectors, codes, None, tmp_path / "without.png")
    sizes = [(tmp_path / f"{name}.png").stat().st_size for name in ("with", "without")]
    assert sizes[0] > sizes[1] > 5000
