from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.embedding_files import read_stored
from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import EmbeddingError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.latent.speakers.enrollment import (
    VARIABLE,
    SpeakerBank,
    default_bank,
    profile_of_target,
    require_name,
)


def profile(rng: np.random.Generator, pitch: float) -> SpeakerProfile:
    vector = rng.standard_normal(6).astype(np.float32)
    root = rng.standard_normal((3, 3)).astype(np.float32)
    mean, deviation = rng.standard_normal((2, 4)).astype(np.float32)
    colour = MelStatistics(mean, deviation, float(rng.integers(5, 50)), root @ root.T)
    return SpeakerProfile(vector / np.linalg.norm(vector), pitch, colour)


def same(a: SpeakerProfile, b: SpeakerProfile) -> None:
    np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-6)
    assert a.pitch_centre == pytest.approx(b.pitch_centre, abs=1e-6)
    assert a.mel_statistics is not None and b.mel_statistics is not None
    np.testing.assert_allclose(a.mel_statistics.pack(), b.mel_statistics.pack(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.mel_statistics.covariance, b.mel_statistics.covariance, rtol=1e-5, atol=1e-6)


@pytest.fixture
def bank(rng: np.random.Generator, tmp_path: Path) -> SpeakerBank:
    made = SpeakerBank(tmp_path / "deep" / "bank.npz", "f00d")
    made.add("bob", {f"/b{n}.wav": profile(rng, n) for n in range(3)})
    made.add("carol", {"/c.wav": profile(rng, 5)})
    return made


def test_all_that_was_heard_comes_back(bank: SpeakerBank) -> None:
    bank.save()
    again = SpeakerBank.open(bank.path, "f00d")
    assert {name: sorted(clips) for name, clips in again.voices.items()} == {
        "bob": ["/b0.wav", "/b1.wav", "/b2.wav"],
        "carol": ["/c.wav"],
    }
    same(again.profile("bob"), SpeakerProfile.mean([bank.voices["bob"][f"/b{n}.wav"] for n in range(3)]))
    same(read_stored(f"{bank.path}:bob", "f00d"), again.profile("bob"))


def test_clips_are_added_to_known_speakers_and_heard_afresh(
    bank: SpeakerBank, rng: np.random.Generator
) -> None:
    fresh = profile(rng, 9)
    bank.add("carol", {"/c.wav": fresh, "/c2.wav": profile(rng, 1)})
    assert sorted(bank.voices["carol"]) == ["/c.wav", "/c2.wav"] and bank.voices["carol"]["/c.wav"] is fresh


def test_standings_compare_different_clips(bank: SpeakerBank) -> None:
    bob, carol = bank.standings()
    own = np.stack([clip.embedding for clip in bank.voices["bob"].values()])
    other = bank.voices["carol"]["/c.wav"].embedding
    assert bob.agreement == pytest.approx((own @ own.T)[np.triu_indices(3, 1)].mean(), abs=1e-6)
    assert bob.nearest == "carol" and bob.similarity == pytest.approx((own @ other).mean(), abs=1e-6)
    assert carol.agreement is None and carol.clips == 1


def test_the_last_one_takes_the_file_with_it(bank: SpeakerBank) -> None:
    bank.save()
    for name in ("bob", "carol"):
        bank.remove(name)
        bank.save()
    assert not bank.path.exists()


def test_errors_name_the_nearest(bank: SpeakerBank, rng: np.random.Generator) -> None:
    with pytest.raises(EmbeddingError, match="did you mean carol"):
        bank.remove("carl")
    with pytest.raises(EmbeddingError, match="is a clip of bob already"):
        bank.add("dave", {"/b1.wav": profile(rng, 0)})
    bank.save()
    with pytest.raises(EmbeddingError, match="was made with model f00d, this one is beef"):
        SpeakerBank.open(bank.path, "beef")
    bank.path.write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(EmbeddingError, match="damaged"):
        SpeakerBank.open(bank.path, "f00d")
    with pytest.raises(EmbeddingError, match="no such bank"):
        SpeakerBank.open(bank.path.with_name("none.npz"), "f00d", must_exist=True)
    with pytest.raises(EmbeddingError, match="holds no speakers"):
        SpeakerBank(bank.path, "f00d").table()


@pytest.mark.parametrize("name", ["", " bob", "a:b", "a/b", "a;b", "bob.wav", "a\nb"])
def test_names_that_cannot_be_one(name: str) -> None:
    with pytest.raises(EmbeddingError):
        require_name(name)


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_bank("f00d") == tmp_path / "voiceae/speakers/f00d.npz"
    monkeypatch.setenv(VARIABLE, "mine.npz")
    assert default_bank("f00d") == Path("mine.npz")


def test_a_name_is_its_clips(
    tiny_voice: Voice, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{n}.wav" for n in range(2)]
    for file in files:
        audio_io.write(file, Audio(0.1 * rng.standard_normal(16000).astype(np.float32), 16000))
    bank = SpeakerBank(tmp_path / "bank.npz", tiny_voice.fingerprint)
    bank.add("bob", {str(file): tiny_voice.profile(file) for file in files})
    bank.save()
    same(profile_of_target(tiny_voice, "bob", bank.path), tiny_voice.profile(files))
    monkeypatch.chdir(tmp_path)
    Path("bob").mkdir()  # a folder is no recording
    same(profile_of_target(tiny_voice, "bob", bank.path), tiny_voice.profile(files))
    same(profile_of_target(tiny_voice, str(files[0]), bank.path), tiny_voice.profile(files[0]))
    with pytest.raises(EmbeddingError, match="did you mean bob"):
        profile_of_target(tiny_voice, "bobb", bank.path)
