from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from voiceae.conversion.embedding_files import EmbeddingTable
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.errors import OutputError
from voiceae.latent.plotting import draw_speaker_map, principal_axes, repel_labels, similarity_matrix


def table(rng: np.random.Generator, counts: list[int], size: int = 8) -> EmbeddingTable:
    profile, owners = {}, {}
    for speaker, count in enumerate(counts):
        for file in range(count):
            vector = rng.standard_normal(size)
            profile[f"{speaker}/{file}"] = SpeakerProfile(
                (vector / np.linalg.norm(vector)).astype(np.float32)
            )
            owners[f"{speaker}/{file}"] = f"speaker {speaker}"
    return EmbeddingTable.from_profiles(profile, owners, "")


def test_principal_axes_keep_distances_of_a_plane(rng: np.random.Generator) -> None:
    plane = rng.standard_normal((20, 2)) * [3, 1]
    turned = plane @ np.linalg.qr(rng.standard_normal((7, 2)))[0].T
    axes, share = principal_axes(turned)
    distances = [np.linalg.norm(p[:, None] - p[None], axis=2) for p in (plane, axes)]
    np.testing.assert_allclose(*distances, atol=1e-9)
    assert share.sum() == pytest.approx(1) and share[0] > share[1]
    np.testing.assert_allclose(principal_axes(turned * -1 * -1)[0], axes)


def test_principal_axes_of_one_point() -> None:
    axes, share = principal_axes(np.ones((1, 5)))
    assert not axes.any() and not share.any()


def test_similarity_by_pairs(rng: np.random.Generator) -> None:
    voices = table(rng, [3, 1, 2])
    cosines = voices.embeddings @ voices.embeddings.T
    result = similarity_matrix(voices)
    assert result[0, 0] == pytest.approx(np.mean([cosines[0, 1], cosines[0, 2], cosines[1, 2]]), abs=1e-6)
    assert np.isnan(result[1, 1])
    assert result[0, 2] == result[2, 0] == pytest.approx(cosines[:3, 4:].mean(), abs=1e-6)


def test_names_stand_apart(rng: np.random.Generator) -> None:
    places = repel_labels(
        np.repeat(rng.standard_normal((3, 2)), 8, axis=0), width=0.5, height=0.1, rounds=5000
    )
    apart = np.abs(places[:, None] - places[None]) / [0.5, 0.1]
    np.fill_diagonal(apart[..., 0], 9)
    assert (apart.max(axis=2) > 0.99).all()
    far = np.array([[0.0, 0.0], [9.0, 9.0]])
    np.testing.assert_allclose(repel_labels(far, width=0.5, height=0.1), far, atol=1e-3)


@pytest.mark.parametrize("counts", [[1], [1, 1], [4] * 30, [1] * 80])
def test_pictures_of_few_and_of_many(rng: np.random.Generator, tmp_path: Path, counts: list[int]) -> None:
    draw_speaker_map(table(rng, counts), tmp_path / "map.png")
    picture = image.imread(tmp_path / "map.png")
    assert picture.shape[:2] == (880, 1760) and picture[..., :3].std() > 0.02
    assert list(tmp_path.iterdir()) == [tmp_path / "map.png"]


def test_refused_at_the_door(rng: np.random.Generator, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.png, \.pdf, \.svg"):
        draw_speaker_map(table(rng, [1]), tmp_path / "map.doc")
    draw_speaker_map(table(rng, [2, 2]), tmp_path / "map.svg")
    with pytest.raises(OutputError, match="--force"):
        draw_speaker_map(table(rng, [1]), tmp_path / "map.svg")
