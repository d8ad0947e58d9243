from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.batch import VoiceLoader
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import EmbeddingError
from voiceae.latent.speakers.attributes import Attribute, Classes, fit_attribute
from voiceae.latent.speakers.target_selection import resolve_target, targets_as_files


@pytest.fixture
def attribute(tiny_voice: Voice, tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    voices = {}
    for number in range(6):
        vector = rng.standard_normal(tiny_voice.embedding_size)
        voices[str(number)] = [
            SpeakerProfile((vector / np.linalg.norm(vector)).astype(np.float32), 1.0 + number % 2)
        ]
    classes = Classes("even", "odd", {name: int(name) % 2 == 1 for name in voices})
    fit_attribute("odd", voices, classes, tiny_voice.fingerprint).save(tmp_path / "odd.json")
    return tmp_path / "odd.json"


def test_targets_are_averaged_then_led_away(tiny_voice: Voice, speakers: Path, attribute: Path) -> None:
    files = [str(speakers / f"deep/s{n}/0.wav") for n in (1, 2)]
    plain = resolve_target(tiny_voice, files)
    np.testing.assert_allclose(plain.embedding, tiny_voice.profile(files).embedding, atol=1e-6)
    led = resolve_target(tiny_voice, files, [f"{attribute}:-2"])
    expected = Attribute.read(attribute).move(plain, -2)
    np.testing.assert_allclose(led.embedding, expected.embedding, atol=1e-6)
    assert led.pitch_centre == pytest.approx(plain.pitch_centre - 2)


def test_other_processes_are_given_files(
    tiny_model: Path, tiny_voice: Voice, speakers: Path, attribute: Path
) -> None:
    loader, files = (
        VoiceLoader(model=str(tiny_model), vocoder="griffinlim", device="cpu"),
        [str(speakers / "deep/s1/0.wav")],
    )
    with targets_as_files(loader, files) as targets:
        assert targets == files
    with targets_as_files(loader, files, [f"{attribute}:+1"]) as (target,):
        given = tiny_voice.profile(target)
        expected = resolve_target(tiny_voice, files, [f"{attribute}:+1"])
        np.testing.assert_allclose(given.embedding, expected.embedding, atol=1e-6)
        assert given.pitch_centre == pytest.approx(expected.pitch_centre, abs=1e-5)
        np.testing.assert_allclose(given.mel_statistics.pack(), expected.mel_statistics.pack(), rtol=1e-5)
    assert not Path(target.removesuffix(":target")).exists()
    with pytest.raises(EmbeddingError, match="no such file"), targets_as_files(loader, ["nobody"]):
        pass
