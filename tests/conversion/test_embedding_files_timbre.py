"""Frames of voices in files: tables, banks and what is handed to other processes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conversion.test_voice_timbre import OTHER, SOURCE, TARGET, apart, whole
from voiceae.conversion.batch import MIN_TABLE_TOKENS, VoiceLoader, embed_files
from voiceae.conversion.embedding_files import EmbeddingTable, read_stored
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import EmbeddingError
from voiceae.io.audio import write
from voiceae.latent.speakers.attributes import Attribute, HeldOut
from voiceae.latent.speakers.enrollment import SpeakerBank
from voiceae.latent.speakers.target_selection import targets_as_files


@pytest.fixture(scope="module")
def profiles(timbre_voice: Voice) -> dict[str, SpeakerProfile]:
    voices = {"t.wav": timbre_voice.profile(TARGET), "o.wav": timbre_voice.profile(OTHER)}
    # Rows of a table are of different lengths.
    return voices | {"short.wav": replace(voices["t.wav"], timbre=voices["t.wav"].timbre[:5])}


@pytest.fixture
def stored(profiles: dict[str, SpeakerProfile], timbre_voice: Voice, tmp_path: Path) -> Path:
    owners = {"t.wav": "tom", "o.wav": "olga", "short.wav": "sue"}
    EmbeddingTable.from_profiles(profiles, owners, timbre_voice.fingerprint).save(tmp_path / "voices.npz")
    return tmp_path / "voices.npz"


@pytest.mark.parametrize(("name", "file"), [("tom", "t.wav"), ("olga", "o.wav"), ("sue", "short.wav")])
def test_a_stored_voice_converts_as_the_profile_did(
    stored: Path, profiles: dict[str, SpeakerProfile], timbre_voice: Voice, name: str, file: str
) -> None:
    for what in (name, file):
        read = timbre_voice.profile(f"{stored}:{what}")
        assert read.timbre is not None and read.timbre.dtype == np.float32
        np.testing.assert_allclose(read.timbre, profiles[file].timbre, rtol=1e-3, atol=1e-4)
        mels = [whole(timbre_voice, each, 0.0) for each in (read, profiles[file])]
        assert apart(*mels) < 2e-3
        assert apart(mels[0], whole(timbre_voice, replace(read, timbre=None), 0.0)) > 0.02


def test_half_the_digits_are_kept_and_a_table_of_before_has_none(stored: Path, timbre_voice: Voice) -> None:
    with np.load(stored) as arrays:
        assert arrays["timbre"].dtype == arrays["speaker_timbre"].dtype == np.float16
        older = {name: arrays[name] for name in arrays.files if "timbre" not in name}
    np.savez(stored, **older)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert timbre_voice.profile(f"{stored}:tom").timbre is None


def test_tokens_of_another_size_are_refused_in_a_line(
    stored: Path, timbre_voice: Voice, tiny_voice: Voice
) -> None:
    with np.load(stored) as arrays:
        table = {name: arrays[name] for name in arrays.files}
    np.savez(stored, **(table | {"speaker_timbre": table["speaker_timbre"][..., :7]}))
    with pytest.raises(EmbeddingError, match=r"voices.npz:tom: its timbre tokens are of shape \(\d+, 7\)"):
        timbre_voice.convert(SOURCE, f"{stored}:tom")
    np.savez(stored, **(table | {"speaker_timbre": table["speaker_timbre"][0]}))
    with pytest.raises(EmbeddingError, match="damaged"):
        read_stored(f"{stored}:tom")


def test_a_csv_says_once_that_it_keeps_none(stored: Path, tiny_voice: Voice, tmp_path: Path) -> None:
    table = EmbeddingTable.read(stored)
    with pytest.warns(UserWarning, match="does not keep the frames") as caught:
        table.save(tmp_path / "voices.csv")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        only = {"t.wav": tiny_voice.profile(TARGET)}
        EmbeddingTable.from_profiles(only, {"t.wav": "tom"}, "").save(tmp_path / "none.csv")


def test_a_bank_keeps_the_frames_of_every_clip(
    profiles: dict[str, SpeakerProfile], timbre_voice: Voice, tmp_path: Path
) -> None:
    bank = SpeakerBank(tmp_path / "bank.npz", timbre_voice.fingerprint)
    bank.add("both", {"/t.wav": profiles["t.wav"], "/o.wav": profiles["o.wav"]})
    bank.save()
    read = SpeakerBank.open(bank.path, timbre_voice.fingerprint).profile("both")
    wanted = timbre_voice.profile([OTHER, TARGET])  # clips by name
    np.testing.assert_allclose(read.timbre, wanted.timbre, rtol=1e-3, atol=1e-4)
    mels = [whole(timbre_voice, each, 0.0) for each in (read, wanted)]
    assert apart(*mels) < 2e-3
    assert apart(mels[0], whole(timbre_voice, profiles["t.wav"], 0.0)) > 0.02


def test_of_many_files_of_a_speaker_each_keeps_its_share(timbre_voice: Voice, tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / f"{number}.wav", TARGET)
    files = {tmp_path / f"{number}.wav": "many" if number else "one" for number in range(9)}
    table, _ = embed_files(timbre_voice, files)
    kept = [int(np.isfinite(row).all(1).sum()) for row in table.timbre]
    assert kept == [len(timbre_voice.profile(TARGET).timbre)] + [MIN_TABLE_TOKENS] * 8
    assert np.isfinite(table.speaker_timbre).all(2).sum(1).tolist() == [8 * MIN_TABLE_TOKENS, kept[0]]


def test_other_processes_are_given_them(
    profiles: dict[str, SpeakerProfile], timbre_voice: Voice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bank = SpeakerBank(tmp_path / "bank.npz", timbre_voice.fingerprint)
    bank.add("tom", {"/t.wav": profiles["t.wav"]})
    bank.save()
    monkeypatch.setattr(VoiceLoader, "load", lambda self: timbre_voice)
    with targets_as_files(VoiceLoader(), ["tom"], bank=bank.path) as (target,):
        read = read_stored(target, timbre_voice.fingerprint)
    np.testing.assert_allclose(read.timbre, profiles["t.wav"].timbre, rtol=1e-3, atol=1e-4)


def test_a_voice_led_along_an_attribute_leaves_its_frames(profiles: dict[str, SpeakerProfile]) -> None:
    voice = profiles["t.wav"]
    held_out = HeldOut(1.0, None, 2, 2, 2)
    direction = np.eye(len(voice.embedding))[0]
    attribute = Attribute("a", "-", "+", direction, 0.0, None, None, None, held_out, "")
    assert attribute.move(voice, 0.5).timbre is None
    np.testing.assert_array_equal(attribute.move(voice, 0.0).timbre, voice.timbre)
