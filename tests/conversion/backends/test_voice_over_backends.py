"""One `Voice` over torch and over onnxruntime: the same results, the same refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import voiceae
from tests.exported import CLIPS
from voiceae.conversion.backends.onnx import ExportedGraphs, ExportedVocoder, OnnxBackend
from voiceae.conversion.backends.select import OnnxVoiceLoader
from voiceae.conversion.chunked import ChunkOptions
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError, ConfigError, EmbeddingError, SpecMismatchError
from voiceae.io.audio import Audio, read

pytestmark = pytest.mark.numeric

SOURCE, TARGET = CLIPS


@pytest.fixture(scope="module")
def on_onnx(exported_model: Path) -> Voice:
    return OnnxVoiceLoader(model=str(exported_model)).load()


@pytest.fixture(scope="module")
def on_torch(exported_model: Path) -> Voice:
    return voiceae.load(exported_model, device="cpu")


def converted_mel(voice: Voice, target: object, matching: float = 1.0) -> np.ndarray:
    """The source in a voice, before the covariance is matched and the vocoder speaks."""
    backend, profile = voice.backend, voice.profile(target)
    wav = voice._levelled(SOURCE, 0.1, "a source").wav
    return backend.decode(backend.encode(backend.features(wav)), profile, matching)


def test_a_conversion_is_that_of_torch(on_onnx: Voice, on_torch: Voice) -> None:
    wanted, found = (each.convert(SOURCE, TARGET) for each in (on_torch, on_onnx))
    assert (found.sample_rate, len(found.wav)) == (wanted.sample_rate, len(wanted.wav))
    mels = [on_torch.mel(each).numpy() for each in (wanted, found)]
    assert np.abs(mels[1] - mels[0]).mean() <= 2e-3
    error = np.sqrt(np.mean((found.wav - wanted.wav) ** 2) / np.mean(wanted.wav**2))
    assert error < 0.02


@pytest.mark.parametrize("matching", [0.0, 0.4, 1.0])
def test_the_converted_mel_is_that_of_torch(on_onnx: Voice, on_torch: Voice, matching: float) -> None:
    wanted, found = (converted_mel(each, TARGET, matching) for each in (on_torch, on_onnx))
    difference = np.abs(found - wanted)
    assert difference.mean() <= 1e-3
    assert difference.max() <= 1e-2


def test_the_bundled_model_gives_the_same_mel_and_wave() -> None:
    on_torch, on_onnx = voiceae.load("base", device="cpu"), OnnxVoiceLoader(model="base").load()
    wanted, found = (converted_mel(each, TARGET) for each in (on_torch, on_onnx))
    assert np.abs(found - wanted).mean() <= 1e-3
    waves = [each.convert(SOURCE, TARGET) for each in (on_torch, on_onnx)]
    mels = [on_torch.mel(each).numpy() for each in waves]
    assert np.abs(mels[1] - mels[0]).mean() <= 5e-3


def test_the_mel_before_the_vocoder_is_that_of_encode_and_decode(on_onnx: Voice, on_torch: Voice) -> None:
    """What `convert` does with arrays, and `encode` and `decode` with tensors."""
    wanted = on_torch.decode(on_torch.encode(SOURCE), TARGET)
    spoken: list[np.ndarray] = []
    vocode = on_onnx.backend.vocode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_onnx.backend, "vocode", lambda mel: (spoken.append(mel), vocode(mel))[1])
        on_onnx.convert(SOURCE, TARGET)
    np.testing.assert_allclose(spoken[0], wanted.numpy(), rtol=0, atol=1e-2)


def test_a_bare_embedding_moves_no_pitch_and_has_no_statistics(on_onnx: Voice, on_torch: Voice) -> None:
    vector = on_torch.embed(TARGET)
    wanted, found = (converted_mel(each, vector) for each in (on_torch, on_onnx))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-2)
    np.testing.assert_allclose(
        wanted, on_torch.decode(on_torch.encode(SOURCE), vector).numpy(), rtol=0, atol=1e-5
    )


def test_a_profile_is_that_of_torch(on_onnx: Voice, on_torch: Voice) -> None:
    wanted, found = on_torch.profile([SOURCE, TARGET]), on_onnx.profile([SOURCE, TARGET])
    assert wanted.mel_statistics is not None and found.mel_statistics is not None
    np.testing.assert_allclose(found.embedding, wanted.embedding, atol=1e-4)
    assert found.pitch_centre == pytest.approx(wanted.pitch_centre, abs=1e-6)
    np.testing.assert_allclose(found.mel_statistics.pack(), wanted.mel_statistics.pack(), atol=1e-3)
    covariances = found.mel_statistics.covariance, wanted.mel_statistics.covariance
    np.testing.assert_allclose(*covariances, atol=1e-3)
    np.testing.assert_array_equal(on_onnx.embed(TARGET), on_onnx.profile(TARGET).embedding)
    assert on_onnx.profile(found) is found
    mixed = on_onnx.mix([SOURCE, TARGET], [1.0, 0.0])
    np.testing.assert_allclose(mixed.embedding, on_onnx.embed(SOURCE), atol=1e-6)


def test_a_wave_in_memory_is_a_source(on_onnx: Voice) -> None:
    clip = read(SOURCE)
    wanted = on_onnx.convert(SOURCE, TARGET).wav
    np.testing.assert_array_equal(on_onnx.convert(clip, TARGET).wav, wanted)
    np.testing.assert_array_equal(on_onnx.convert((clip.wav, clip.sample_rate), TARGET).wav, wanted)


def test_a_result_is_written_whole(on_onnx: Voice, tmp_path: Path) -> None:
    on_onnx.convert_file(SOURCE, TARGET, tmp_path / "out.flac")
    assert read(tmp_path / "out.flac").seconds == pytest.approx(read(SOURCE).seconds, abs=1e-3)


def test_bad_audio_is_refused_alike(on_onnx: Voice, on_torch: Voice) -> None:
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
        for each in (on_torch, on_onnx):
            with pytest.raises(AudioError) as raised:
                each.convert(source, target)
            said.append(str(raised.value))
        assert said[0] == said[1]


def test_embeddings_are_checked(on_onnx: Voice) -> None:
    with pytest.raises(EmbeddingError, match="expected 16 numbers"):
        on_onnx.profile(np.ones(5, np.float32))


def test_what_is_too_long_is_sent_to_torch(on_onnx: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = SpeakerProfile(np.ones(16, np.float32) / 4)
    with pytest.raises(AudioError, match="of at most 1800 s, whole; use --runtime torch"):
        on_onnx.convert(SOURCE, profile, chunks=ChunkOptions(chunk_seconds=1.0))
    monkeypatch.setattr(OnnxBackend, "whole_seconds", 1.0)
    with pytest.raises(AudioError, match="of at most 1 s, whole; use --runtime torch"):
        on_onnx.convert(SOURCE, profile)


def test_what_needs_tensors_says_so(on_onnx: Voice) -> None:
    for call in (
        lambda: on_onnx.stream(TARGET),
        lambda: on_onnx.encode(SOURCE),
        lambda: on_onnx.mel(SOURCE),
        lambda: on_onnx.model,
    ):
        with pytest.raises(ConfigError, match="runtime onnx converts whole recordings, and nothing else"):
            call()


def test_a_mel_can_be_spoken(on_onnx: Voice, on_torch: Voice) -> None:
    mel = on_torch.mel(SOURCE)[:, :60]
    wanted, found = (each.synthesise(mel).wav for each in (on_torch, on_onnx))
    assert len(found) == len(wanted)
    assert np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)) < 1e-2


def test_a_vocoder_of_another_mel_is_refused(export_folder: Path, other_vocoder: Path) -> None:
    vocoder = ExportedVocoder(ExportedGraphs(other_vocoder, "vocoder"))
    with pytest.raises(SpecMismatchError, match="hop_length"):
        OnnxBackend(ExportedGraphs(export_folder, "autoencoder"), vocoder)
