from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError, EmbeddingError, ModelFileError
from voiceae.latent.units import (
    UnitLine,
    UnitText,
    bit_rates,
    codes_per_second,
    collapse,
    decode_units,
    encode_units,
    pick_line,
    read_units,
    write_units,
)


def line(name: str, *codes: int) -> UnitLine:
    return UnitLine(name, np.array(codes))


def test_runs_are_collapsed() -> None:
    codes, lengths = collapse(np.array([7, 7, 7, 0, 0, 7]))
    assert codes.tolist() == [7, 0, 7] and lengths.tolist() == [3, 2, 1]
    np.testing.assert_array_equal(np.repeat(codes, lengths), [7, 7, 7, 0, 0, 7])


def test_bits_per_second_by_hand() -> None:
    rates = bit_rates([line("a", 0, 0, 1, 1), line("b", 2, 2, 3, 3)], size=16, rate=20.0)
    assert (rates.used, rates.seconds, rates.fixed) == (4, 0.4, 80.0)
    assert rates.entropy == pytest.approx(20 * 2)  # four codes, equally often
    assert rates.collapsed == pytest.approx(10 * 2)  # half as many
    assert rates.mean_run == 2


def test_codes_are_those_of_the_bottleneck(vq_voice: Voice, speakers: Path) -> None:
    file = speakers / "deep/s1/0.wav"
    found = encode_units(vq_voice, file, "a\tb\nc")
    content = vq_voice.encode(file)
    book = vq_voice.model.bottleneck.codebook
    distance = (content.units[0].T[:, None] - book).norm(dim=-1)
    np.testing.assert_array_equal(found.codes, distance.argmin(1))
    assert found.name == "a b c"
    assert len(found.codes) / codes_per_second(vq_voice) == pytest.approx(1.0, abs=0.05)


def test_a_melody_is_written_about_its_median(vq_voice: Voice, speakers: Path) -> None:
    found = encode_units(vq_voice, speakers / "deep/s1/0.wav", "a", pitch=True)
    known = found.semitones[np.isfinite(found.semitones)]
    assert len(found.semitones) == len(found.codes) and len(known) > 5
    np.testing.assert_allclose(known, 0, atol=0.7)  # a level tone


def test_spoken_units_are_the_decoded_content(vq_voice: Voice, speakers: Path) -> None:
    """With the melody written down, what is spoken is nearer to the content itself than without."""
    file, target = speakers / "deep/s1/0.wav", vq_voice.profile(speakers / "deep/s2/0.wav")
    content = vq_voice.encode(file)
    whole = vq_voice.decode(content, target)
    found = encode_units(vq_voice, file, "a", pitch=True)
    spoken = decode_units(vq_voice, found, target)
    assert abs(spoken.shape[-1] - whole.shape[-1]) < vq_voice.model.rate
    frames = min(spoken.shape[-1], whole.shape[-1])
    assert (spoken[:, :frames] - whole[:, :frames]).abs().mean() < 0.5 * whole.std()
    level = decode_units(vq_voice, UnitLine("a", found.codes), target, frames_each=2)
    assert level.shape[-1] == 2 * len(found.codes) * vq_voice.model.rate


def test_codes_that_the_model_does_not_have(vq_voice: Voice) -> None:
    for codes in ((32,), (-1,), ()):
        with pytest.raises(ConfigError, match="0 to 31"):
            decode_units(vq_voice, UnitLine("a", np.array(codes, np.int64)), np.eye(16, dtype=np.float32)[0])


def test_a_model_without_units(tiny_voice: Voice, speakers: Path) -> None:
    with pytest.raises(ModelFileError, match="has a GaussianBottleneck, units need a discrete one"):
        encode_units(tiny_voice, speakers / "deep/s1/0.wav", "a")


def test_text_comes_back(tmp_path: Path) -> None:
    melody = UnitLine("b c.wav", np.array([3, 3]), np.array([1.25, np.nan]))
    write_units(tmp_path / "u.txt", UnitText((line("a", 5, 5, 1), melody), 21.5, False, "f00d"))
    again = read_units(tmp_path / "u.txt", "f00d")
    assert [each.name for each in again.lines] == ["a", "b c.wav"] and again.codes_per_second == 21.5
    assert again.lines[0].codes.tolist() == [5, 5, 1] and again.lines[0].semitones is None
    np.testing.assert_array_equal(again.lines[1].semitones, [1.25, np.nan])
    assert [each.name for each in pick_line(again, "a")] == ["a"] and len(pick_line(again, None)) == 2
    with pytest.raises(ConfigError, match=r"did you mean b c\.wav"):
        pick_line(again, "b c.wave")
    with pytest.raises(EmbeddingError, match="this one is beef"):
        read_units(tmp_path / "u.txt", "beef")


def test_collapsed_text_has_each_run_once(tmp_path: Path) -> None:
    write_units(tmp_path / "u.txt", UnitText((line("a", 5, 5, 1),), 21.5, True, "f00d"))
    again = read_units(tmp_path / "u.txt")
    assert again.collapsed and again.lines[0].codes.tolist() == [5, 1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read as units|does not begin"),
        ("a\t1 2\n", "does not begin"),
        ("# voiceae units, model f00d, 21.5 a second, frames\n", "holds no units"),
        ("# voiceae units, model f00d, 21.5 a second, frames\na\t1 x\n", "line 2: is not units"),
        ("# voiceae units, model f00d, 21.5 a second, frames\na\t1 2\t0.5\n", "2 codes, but 1 pitches"),
    ],
)
def test_damaged_text(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "u.txt").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_units(tmp_path / "u.txt")
