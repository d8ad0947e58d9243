from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import voiceae
from tests.tiny import SPEC, write_model
from voiceae import Audio
from voiceae.conversion.backends.torch import TorchBackend
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.dsp.loudness import active_power, frame_powers
from voiceae.errors import (
    AudioError,
    ConfigError,
    EmbeddingError,
    ModelFileError,
    SpecMismatchError,
    VocoderError,
)
from voiceae.specs import AudioSpec
from voiceae.vocoders.load import load_vocoder

RATE = SPEC.sample_rate


def noise(rng: np.random.Generator, seconds: float, rate: int = RATE, level: float = 0.1) -> Audio:
    return Audio((level * rng.standard_normal(round(seconds * rate))).astype(np.float32), rate)


def active_db(audio: Audio) -> float:
    return 10 * np.log10(active_power(frame_powers(audio.wav, audio.sample_rate)))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
@pytest.mark.parametrize("seconds", [0.1, 0.73, 2.0])
def test_result_lasts_as_long_as_the_source(
    exact_voice: Voice, rng: np.random.Generator, rate: int, seconds: float
) -> None:
    with warnings.catch_warnings(action="ignore"):
        out = exact_voice.convert(noise(rng, seconds, rate), noise(rng, 0.6))
    assert out.sample_rate == RATE
    assert abs(len(out.wav) - seconds * RATE) <= 2


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
@pytest.mark.parametrize("place", [0.003, 0.41, 0.7771, 0.9965])
def test_a_click_stays_where_it_was(
    exact_voice: Voice, rng: np.random.Generator, rate: int, place: float
) -> None:
    source = noise(rng, 1.0, rate, level=1e-3)
    click = round(place * rate)
    source.wav[click] += 0.9
    out = exact_voice.convert(source, noise(rng, 0.6))
    assert abs(np.abs(out.wav).argmax() - click * RATE / rate) <= 2


@pytest.mark.parametrize("level", [0.003, 0.05, 0.3])
def test_result_is_as_loud_as_the_source(
    exact_voice: Voice, tiny_voice: Voice, rng: np.random.Generator, level: float
) -> None:
    source = noise(rng, 1.5, level=level)
    source.wav[: RATE // 2] *= 0.01  # a pause, which says nothing about loudness
    for voice in (exact_voice, tiny_voice):
        with warnings.catch_warnings(action="ignore"):
            out = voice.convert(source, noise(rng, 0.6))
        full_scale = np.abs(out.wav).max() > 0.999
        assert full_scale or active_db(out) == pytest.approx(active_db(source), abs=0.3)
        assert np.abs(out.wav).max() <= 1.00001


def test_exact_parts_give_the_source_back(exact_voice: Voice, rng: np.random.Generator) -> None:
    source = noise(rng, 1.3)
    out = exact_voice.convert(source, noise(rng, 0.6))
    np.testing.assert_allclose(out.wav, source.wav - source.wav.mean(), atol=2e-5)


def test_real_speech_converts_and_targets_agree(
    tiny_voice: Voice, two_speakers: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    (source, *_), (target, other, _) = two_speakers
    by_path = tiny_voice.convert(source, target).wav
    assert np.isfinite(by_path).all() and np.abs(by_path).max() > 0.01
    profile = tiny_voice.profile(target)
    np.testing.assert_array_equal(tiny_voice.convert(str(source), profile).wav, by_path)
    np.testing.assert_array_equal(tiny_voice.convert(source, [target]).wav, by_path)
    assert not np.allclose(tiny_voice.convert(source, other).wav, by_path)
    np.save(tmp_path / "e.npy", 3 * profile.embedding)
    stored = tiny_voice.convert(source, tmp_path / "e.npy").wav
    np.testing.assert_allclose(tiny_voice.convert(source, profile.embedding).wav, stored, atol=5e-3)


def test_several_targets_are_averaged(tiny_voice: Voice, two_speakers: tuple[list[Path], list[Path]]) -> None:
    first, second = two_speakers
    a, b = tiny_voice.embed(first[0]), tiny_voice.embed(second[0])
    expected = (a + b) / np.linalg.norm(a + b)
    np.testing.assert_allclose(tiny_voice.embed([first[0], second[0]]), expected, atol=1e-6)
    assert np.linalg.norm(tiny_voice.embed(first)) == pytest.approx(1, abs=1e-5)
    mixed = tiny_voice.mix([a, b], [1.0, 0.0])
    np.testing.assert_allclose(np.asarray(mixed), a, atol=1e-6)


def test_stages_compose_to_convert(tiny_voice: Voice, two_speakers: tuple[list[Path], list[Path]]) -> None:
    (source, *_), (target, *_) = two_speakers
    mel = tiny_voice.decode(tiny_voice.encode(source), target)
    wav = tiny_voice.synthesise(mel).wav
    converted = tiny_voice.convert(source, target).wav
    assert mel.shape == (SPEC.n_mels, len(wav) // SPEC.hop_length)
    wav = wav[: len(converted)]
    cosine = wav @ converted / np.linalg.norm(wav) / np.linalg.norm(converted)
    assert cosine == pytest.approx(1, abs=2e-3)  # the toy bursts out in pauses, where convert turns it down


def test_pitch_follows_the_target_only_when_it_is_known(
    tiny_voice: Voice, two_speakers: tuple[list[Path], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (source, *_), (target, *_) = two_speakers
    moved = []
    decode = tiny_voice.model.decode
    monkeypatch.setattr(
        tiny_voice.model,
        "decode",
        lambda *a, octaves=None, **rest: (moved.append(octaves), decode(*a, octaves=octaves, **rest))[1],
    )
    tiny_voice.convert(source, target)
    tiny_voice.convert(source, tiny_voice.embed(target))
    expected = tiny_voice.profile(target).pitch_centre - tiny_voice.profile(source).pitch_centre
    assert float(moved[0]) == pytest.approx(expected, abs=1e-5)
    assert moved[1] is None


def test_waves_in_memory(tiny_voice: Voice, rng: np.random.Generator) -> None:
    audio = noise(rng, 1.0, 16000)
    stereo = np.stack([2 * audio.wav, 0 * audio.wav])
    np.testing.assert_allclose(tiny_voice.embed((stereo, 16000)), tiny_voice.embed(audio), atol=1e-6)
    with pytest.raises(AudioError, match="one channel of floats"):
        tiny_voice.embed((stereo.T, 16000))
    with pytest.raises(AudioError, match="one channel of floats"):
        tiny_voice.embed((np.ones(16000, np.int16), 16000))


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (0.09, 1.0, "0.09 s of audio; a source needs at least 0.1 s"),
        (1.0, 0.4, "0.40 s of audio; a target needs at least 0.5 s"),
    ],
)
def test_too_short(
    tiny_voice: Voice, rng: np.random.Generator, source: float, target: float, reason: str
) -> None:
    with pytest.raises(AudioError, match=reason):
        tiny_voice.convert(noise(rng, source), noise(rng, target))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_silence_and_not_finite(tiny_voice: Voice, rng: np.random.Generator, bad: float) -> None:
    good = noise(rng, 1.0)
    silent = Audio(np.zeros(RATE, np.float32), RATE)
    spoilt = noise(rng, 1.0)
    spoilt.wav[500] = bad
    for wrong in (silent, spoilt):
        with pytest.raises(AudioError):
            tiny_voice.convert(wrong, good)
        with pytest.raises(AudioError):
            tiny_voice.convert(good, wrong)


@pytest.mark.parametrize(
    "vector", [np.ones(15), np.zeros(16), np.full(16, np.nan), np.ones((2, 16)), np.array(["a"])]
)
def test_bad_embeddings(tiny_voice: Voice, vector: np.ndarray) -> None:
    with pytest.raises(EmbeddingError, match="target"):
        tiny_voice.embed(vector)


def test_synthesise_refuses_another_shape(tiny_voice: Voice) -> None:
    with pytest.raises(AudioError, match=r"\(40, 9\)"):
        tiny_voice.synthesise(np.zeros((40, 9), np.float32))


def test_load_refuses_what_is_not_there(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such model; give a model file or a bundled name"):
        voiceae.load("nobody")
    with pytest.raises(VocoderError):
        voiceae.load(tiny_model, vocoder="nobody")
    with pytest.raises(ConfigError, match="device"):
        voiceae.load(tiny_model, device="abacus")


def test_vocoder_of_another_mel_is_refused() -> None:
    other = AudioSpec(hop_length=128)
    with pytest.raises(SpecMismatchError, match="hop_length: model 256, vocoder 128"):
        TorchBackend(model=torch.nn.Identity(), spec=SPEC, vocoder=load_vocoder("griffinlim", other))  # type: ignore[arg-type]


def test_same_file_same_fingerprint(tiny_model: Path, tiny_voice: Voice, tmp_path: Path) -> None:
    again = voiceae.load(tiny_model, vocoder="griffinlim")
    other = voiceae.load(write_model(tmp_path / "other.safetensors", seed=1), vocoder="griffinlim")
    assert again.fingerprint == tiny_voice.fingerprint != other.fingerprint


def test_nothing_learns(tiny_voice: Voice, rng: np.random.Generator) -> None:
    assert not any(weight.requires_grad for weight in tiny_voice.model.parameters())
    assert tiny_voice.mel(noise(rng, 1.0)).is_inference()
    assert isinstance(tiny_voice.profile(noise(rng, 1.0)), SpeakerProfile)
