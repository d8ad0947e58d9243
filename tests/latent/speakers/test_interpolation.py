from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError
from voiceae.latent.speakers.interpolation import (
    draw_speaker_path,
    interpolate_profiles,
    interpolation_shares,
    speaker_path,
)


def test_equal_steps_with_both_ends() -> None:
    assert interpolation_shares(5) == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(ConfigError, match="at least 2"):
        interpolation_shares(1)


def test_the_ends_are_the_voices_and_the_middle_is_nearer_to_both() -> None:
    a, b = (
        SpeakerProfile(vector, pitch)
        for vector, pitch in ((np.eye(4, dtype=np.float32)[0], 1.0), (np.eye(4, dtype=np.float32)[1], 3.0))
    )
    first, middle, last = interpolate_profiles(a, b, 3)
    np.testing.assert_allclose([first.embedding, last.embedding], [a.embedding, b.embedding], atol=1e-6)
    assert middle.embedding @ a.embedding == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert (first.pitch_centre, middle.pitch_centre, last.pitch_centre) == (1, 2, 3)
    straight, arc = (interpolate_profiles(a, b, 5, spherical=on)[1].embedding for on in (False, True))
    assert straight @ a.embedding == pytest.approx(3 / np.sqrt(10), abs=1e-6)
    assert arc @ a.embedding == pytest.approx(np.cos(np.pi / 8), abs=1e-6)


def test_a_walk_says_the_sentence_in_every_voice(tiny_voice: Voice, speakers: Path, tmp_path: Path) -> None:
    files = [speakers / f"deep/s{n}/0.wav" for n in range(2)]
    ends = tiny_voice.profile(files[0]), tiny_voice.profile(files[1])
    way = speaker_path(tiny_voice, files[0], ends, 3)
    np.testing.assert_allclose(way.sounds[2].wav, tiny_voice.convert(files[0], files[1]).wav, atol=1e-6)
    again = tiny_voice.profile(way.sounds[0])
    assert way.points[0].result_second == pytest.approx(float(again.embedding @ ends[1].embedding))
    assert way.points[0].semitones == pytest.approx(12 * (again.pitch_centre - ends[0].pitch_centre))
    assert [point.requested_first for point in way.points] == sorted(
        (p.requested_first for p in way.points), reverse=True
    )
    draw_speaker_path(way, ["a", "b"], tmp_path / "way.png")
    assert (tmp_path / "way.png").read_bytes().startswith(b"\x89PNG")
