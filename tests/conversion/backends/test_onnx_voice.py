from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import voiceae
from tests.exported import CLIPS
from voiceae.conversion.backends import onnx_voice as module
from voiceae.conversion.backends.numpy_griffinlim import GriffinLim
from voiceae.conversion.backends.onnx_voice import PortableVoice
from voiceae.conversion.backends.sessions import Export
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError, EmbeddingError, SpecMismatchError
from voiceae.io.audio import Audio, read
from voiceae.specs import AudioSpec

pytestmark = pytest.mark.numeric

SOURCE, TARGET = CLIPS


@pytest.fixture(scope="module")
def portable(export_folder: Path) -> PortableVoice:
    export = Export(export_folder, "autoencoder")
    return PortableVoice(export=export, vocoder=GriffinLim(export.manifest.spec))


@pytest.fixture(scope="module")
def on_torch(exported_model: Path) -> Voice:
    return voiceae.load(exported_model, vocoder="griffinlim", device="cpu")


def test_a_conversion_is_that_of_torch(portable: PortableVoice, on_torch: Voice) -> None:
    wanted, found = (each.convert(SOURCE, TARGET) for each in (on_torch, portable))
    assert (found.sample_rate, len(found.wav)) == (wanted.sample_rate, len(wanted.wav))
    mels = [on_torch.mel(each).numpy() for each in (wanted, found)]
    assert (
        np.abs(mels[1] - mels[0]).mean() <= 1e-2
    )  # two waves that 32 iterations made of one mel, near enough
    error = np.sqrt(np.mean((found.wav - wanted.wav) ** 2) / np.mean(wanted.wav**2))
    assert error < 0.02


def test_the_converted_mel_is_that_of_torch(portable: PortableVoice, on_torch: Voice) -> None:
    wanted = on_torch.decode(on_torch.encode(SOURCE), TARGET).numpy()
    difference = np.abs(portable.convert_mel(portable.mel(SOURCE), portable.profile(TARGET)) - wanted)
    assert difference.mean() <= 1e-3
    assert difference.max() <= 1e-2


@pytest.mark.parametrize("matching", [0.0, 0.4])
def test_matching_is_that_of_torch(portable: PortableVoice, on_torch: Voice, matching: float) -> None:
    wanted = on_torch.decode(on_torch.encode(SOURCE), TARGET, matching=matching).numpy()
    found = portable.convert_mel(portable.mel(SOURCE), portable.profile(TARGET), matching)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-2)


def test_a_bare_embedding_moves_no_pitch_and_has_no_colour(portable: PortableVoice, on_torch: Voice) -> None:
    vector = on_torch.embed(TARGET)
    wanted = on_torch.decode(on_torch.encode(SOURCE), vector).numpy()
    found = portable.convert_mel(portable.mel(SOURCE), portable.profile(vector))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-2)


def test_a_voice_is_heard_as_torch_hears_it(portable: PortableVoice, on_torch: Voice) -> None:
    wanted, found = on_torch.profile([SOURCE, TARGET]), portable.profile([SOURCE, TARGET])
    assert wanted.mel_statistics is not None and found.mel_statistics is not None
    np.testing.assert_allclose(found.embedding, wanted.embedding, atol=1e-4)
    assert found.pitch_centre == pytest.approx(wanted.pitch_centre, abs=1e-6)
    np.testing.assert_allclose(found.mel_statistics.pack(), wanted.mel_statistics.pack(), atol=1e-3)
    np.testing.assert_allclose(found.mel_statistics.covariance, wanted.mel_statistics.covariance, atol=1e-3)
    np.testing.assert_array_equal(portable.embed(TARGET), portable.profile(TARGET).embedding)
    assert portable.profile(found) is found
    mixed = portable.mix([SOURCE, TARGET], [1.0, 0.0])
    np.testing.assert_allclose(mixed.embedding, portable.embed(SOURCE), atol=1e-6)


def test_a_wave_in_memory_is_a_source(portable: PortableVoice) -> None:
    clip = read(SOURCE)
    wanted = portable.convert(SOURCE, TARGET).wav
    np.testing.assert_array_equal(portable.convert(clip, TARGET).wav, wanted)
    np.testing.assert_array_equal(portable.convert((clip.wav, clip.sample_rate), TARGET).wav, wanted)


def test_a_result_is_written_whole(portable: PortableVoice, tmp_path: Path) -> None:
    portable.convert_file(SOURCE, TARGET, tmp_path / "out.flac")
    assert read(tmp_path / "out.flac").seconds == pytest.approx(read(SOURCE).seconds, abs=1e-3)


def test_bad_audio_is_refused_as_torch_refuses_it(portable: PortableVoice, on_torch: Voice) -> None:
    noise = np.random.default_rng(0).standard_normal(30000).astype(np.float32) * 0.1
    good = Audio(noise, 16000)
    for source, target in (
        (Audio(np.zeros(16000, np.float32), 16000), good),
        (Audio(noise[:800], 16000), good),
        (good, Audio(noise[:4000], 16000)),
        ("missing.wav", good),
        (Audio(noise * np.float32("nan"), 16000), good),
    ):
        said = []
        for each in (on_torch, portable):
            with pytest.raises(AudioError) as raised:
                each.convert(source, target)
            said.append(str(raised.value))
        assert said[0] == said[1]


def test_embeddings_are_checked(portable: PortableVoice) -> None:
    with pytest.raises(EmbeddingError, match="expected 16 numbers"):
        portable.profile(np.ones(5, np.float32))


def test_what_is_too_long_is_sent_to_torch(portable: PortableVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 1.0)
    with pytest.raises(AudioError, match="of at most 1 s; use --runtime torch"):
        portable.convert(SOURCE, SpeakerProfile(np.ones(16, np.float32) / 4))


def test_another_mel_is_refused(export_folder: Path) -> None:
    with pytest.raises(SpecMismatchError, match="hop_length"):
        PortableVoice(
            export=Export(export_folder, "autoencoder"), vocoder=GriffinLim(AudioSpec(hop_length=128))
        )
