from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from voiceae.conversion.voice import Voice
from voiceae.latent.interpolation import (
    Interpolation,
    align,
    draw_interpolation,
    interpolate,
    interpolate_content,
    interpolate_mels,
    smoothness,
)


@pytest.fixture(scope="module")
def files(speakers: Path) -> tuple[Path, Path]:
    return speakers / "deep/s0/0.wav", speakers / "deep/s1/1.wav"


@pytest.fixture(scope="module")
def found(tiny_voice: Voice, files: tuple[Path, Path]) -> Interpolation:
    return interpolate(tiny_voice, *files, steps=3)


def test_the_ends_are_the_sentences_themselves(
    tiny_voice: Voice, files: tuple[Path, Path], found: Interpolation
) -> None:
    speaker = tiny_voice.profile(files[0])
    for file, mel in zip(files, (found.mels[0], found.mels[-1]), strict=True):
        # Moving a pitch by its quantiles rounds it by part of a grid step, hence the tolerance.
        own = tiny_voice.decode(tiny_voice.encode(file), speaker)
        assert mel.shape == own.shape
        assert (mel - own).abs().mean() < 0.02 * own.std()


def test_units_at_the_ends_are_exact(tiny_voice: Voice, files: tuple[Path, Path]) -> None:
    ends = tiny_voice.encode(files[0]), tiny_voice.encode(files[1])
    alignment = align(ends[0].units[0], ends[1].units[0])
    for share, end in zip((0.0, 1.0), ends, strict=True):
        mixed = interpolate_content(ends, share, alignment, tiny_voice.model.rate)
        np.testing.assert_allclose(mixed.units, end.units, atol=1e-5)
        assert mixed.pitch_centre == end.pitch_centre and mixed.frames == end.frames


def test_a_sentence_and_itself_have_itself_between(tiny_voice: Voice, files: tuple[Path, Path]) -> None:
    content = tiny_voice.encode(files[0])
    alignment = align(content.units[0], content.units[0])
    mixed = interpolate_content((content, content), 0.5, alignment, tiny_voice.model.rate)
    np.testing.assert_allclose(mixed.units, content.units, atol=1e-5)


def test_mels_are_mixed_on_the_same_clock(found: Interpolation, tiny_voice: Voice) -> None:
    assert [mel.shape for mel in found.mels] == [mel.shape for mel in found.mixed_mels]
    flat = [
        torch.full((4, mel.shape[-1]), value)
        for value, mel in zip((1.0, 3.0), (found.mels[0], found.mels[-1]), strict=True)
    ]
    middle = interpolate_mels((flat[0], flat[1]), 0.25, found.alignment, tiny_voice.model.rate)
    np.testing.assert_allclose(middle, 1.5, atol=1e-6)


def test_smoothness_knows_an_even_way_from_a_jump(tiny_voice: Voice, found: Interpolation) -> None:
    first, last = found.mels[0], found.mels[-1]
    jump = [first, first, last]
    measured = smoothness(tiny_voice, jump, [0.0, 0.0, 1.0], found.alignment)
    np.testing.assert_allclose(measured.steps, [0, 1], atol=1e-6)
    assert measured.largest_step == pytest.approx(2) and measured.detour == pytest.approx(1)
    assert found.code_smoothness.detour >= 1 and sum(found.code_smoothness.steps) == pytest.approx(1)


def test_blurring_lowers_the_contrast(tiny_voice: Voice, found: Interpolation) -> None:
    blurred = found.mels[1] * 0.5 + found.mels[1].mean(0, keepdim=True) * 0.5
    kept, lost = (
        smoothness(tiny_voice, [found.mels[0], middle, found.mels[2]], list(found.shares), found.alignment)
        for middle in (found.mels[1], blurred)
    )
    assert lost.contrast[1] < 0.8 * kept.contrast[1]
    assert kept.contrast[0] == pytest.approx(1) and kept.contrast[2] == pytest.approx(1)


def test_it_can_be_drawn(found: Interpolation, tmp_path: Path) -> None:
    draw_interpolation(found, tmp_path / "i.png")
    assert (tmp_path / "i.png").read_bytes().startswith(b"\x89PNG")
