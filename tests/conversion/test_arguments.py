"""What the Python door does with what it should not be given: one line, or a right and finite result."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import voiceae
from tests.tiny import SPEC
from voiceae import Audio, Voice, VoiceAEError
from voiceae.conversion.streaming.stream import StreamOptions
from voiceae.errors import AudioError, ConfigError, EmbeddingError
from voiceae.latent.interpolation import interpolate
from voiceae.latent.speakers.attributes import Attribute, find_attribute
from voiceae.latent.speakers.interpolation import interpolate_profiles

RATE = SPEC.sample_rate
SPEECH = Path(__file__).parents[2] / "recipes/demo/clips/slt_1.flac"


def wave(seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(3)
    voiced = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 12))
    return (0.1 * voiced * (1.2 + np.sin(9 * t)) + 1e-3 * rng.standard_normal(len(t))).astype(np.float32)


WAVE = wave()
BAD_RECORDINGS: dict[str, Any] = {
    "none": None,
    "number": 3,
    "bytes": SPEECH.read_bytes(),
    "bytes path": str(SPEECH).encode(),
    "file": io.BytesIO(SPEECH.read_bytes()),
    "dictionary": {"wav": WAVE},
    "no path": "",
    "null character": "a\0b.wav",
    "long name": "x" * 5000 + ".wav",
    "rate 0": (WAVE, 0),
    "rate below 0": (WAVE, -RATE),
    "rate with a fraction": (WAVE, 22050.5),
    "rate nan": (WAVE, float("nan")),
    "rate inf": (WAVE, float("inf")),
    "rate true": (WAVE, True),
    "rate 0 in Audio": Audio(WAVE, 0),
    "rate below 0 in Audio": Audio(WAVE, -1),
    "rate text in Audio": Audio(WAVE, "22050"),  # type: ignore[arg-type]
    "rate None in Audio": Audio(WAVE, None),  # type: ignore[arg-type]
    "wave None in Audio": Audio(None, RATE),  # type: ignore[arg-type]
    "wave of text": (np.array(["a"] * 9999), RATE),
    "wave of objects": (np.array([None] * 9999), RATE),
    "complex": (WAVE.astype(np.complex64), RATE),
    "integers": ((WAVE * 30000).astype(np.int16), RATE),
    "integer tensor": (torch.ones(9999, dtype=torch.int16), RATE),
    "empty": (WAVE[:0], RATE),
    "no channels": (np.zeros((0, 9999), np.float32), RATE),
    "nothing in two channels": (np.zeros((2, 0), np.float32), RATE),
    "three axes": (WAVE[None, None], RATE),
    "no axis": (np.float32(0.5), RATE),
    "columns": (np.stack([WAVE, WAVE], 1), RATE),
    "ragged": ([[0.1, 0.2], [0.3]], RATE),
    "nan": (np.where(np.arange(len(WAVE)) == 7, np.nan, WAVE), RATE),
    "inf": (np.where(np.arange(len(WAVE)) == 7, np.inf, WAVE), RATE),
    "beyond float32": (np.where(np.arange(len(WAVE)) == 7, 1e300, WAVE.astype(np.float64)), RATE),
}
GOOD_WAVES: dict[str, Callable[[], Any]] = {
    "text": lambda: str(SPEECH),
    "path": lambda: SPEECH,
    "Audio": lambda: Audio(WAVE, RATE),
    "list": lambda: (WAVE.tolist(), RATE),
    "rate as float": lambda: (WAVE, float(RATE)),
    "rate as numpy": lambda: (WAVE, np.int64(RATE)),
    "rate as array": lambda: (WAVE, np.array(RATE)),
    "tensor": lambda: (torch.tensor(WAVE), RATE),
    "tensor in Audio": lambda: Audio(torch.tensor(WAVE), RATE),  # type: ignore[arg-type]
    "with gradient": lambda: (torch.tensor(WAVE, requires_grad=True), RATE),
    "with gradient, in Audio": lambda: Audio(torch.tensor(WAVE).requires_grad_(), RATE),  # type: ignore[arg-type]
    "float64": lambda: (WAVE.astype(np.float64), RATE),
    "float64 tensor": lambda: (torch.tensor(WAVE).double(), RATE),
    "float16": lambda: (WAVE.astype(np.float16), RATE),
    "bfloat16": lambda: (torch.tensor(WAVE).bfloat16(), RATE),
    "big-endian": lambda: (WAVE.astype(">f4"), RATE),
    "strided": lambda: (np.repeat(WAVE, 2)[::2], RATE),
    "backwards in memory": lambda: (WAVE[::-1].copy()[::-1], RATE),
    "read-only": lambda: (_locked(WAVE), RATE),
    "channels": lambda: (np.stack([WAVE, WAVE]), RATE),
    "channels of a tensor": lambda: (torch.tensor(np.stack([WAVE, WAVE])), RATE),
}


def _locked(wav: np.ndarray) -> np.ndarray:
    locked = wav.copy()
    locked.flags.writeable = False
    return locked


def embeddings(size: int) -> dict[str, Any]:
    """Vectors that are no voice of a model with `size` numbers."""
    return {
        "short": np.ones(size - 1),
        "long": torch.ones(size + 1),
        "zero": np.zeros(size),
        "nan": torch.full((size,), float("nan")),
        "inf": np.full(size, np.inf),
        "rows": np.ones((1, size)),
        "text": np.array(["a"] * size),
        "objects": np.array([None] * size),
        "complex": np.ones(size, complex),
        "true": np.ones(size, bool),
        "no axis": torch.tensor(1.0),
        "sparse": torch.ones(size).to_sparse(),
    }


def refused(call: Callable[[], Any], error: type[VoiceAEError] = VoiceAEError) -> None:
    """The call ends in one line of our own, without a warning from below it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(error) as caught:
            call()
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture(scope="module", params=["torch", "onnx"])
def voice(request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Either runtime."""
    if request.param == "torch":
        return request.getfixturevalue("tiny_voice")
    pytest.importorskip("onnxruntime")
    from tests.exported import write_exported
    from voiceae.conversion.backends.select import OnnxVoiceLoader

    model = write_exported(tmp_path_factory.mktemp("exported"))
    return OnnxVoiceLoader(model=str(model)).load()


@pytest.mark.parametrize("name", BAD_RECORDINGS)
def test_a_bad_recording_is_refused_in_one_line(voice: Any, name: str, tmp_path: Path) -> None:
    bad, good = BAD_RECORDINGS[name], (WAVE, RATE)
    refused(lambda: voice.convert(bad, good), AudioError)
    refused(lambda: voice.convert(good, bad))
    refused(lambda: voice.convert_file(bad, good, tmp_path / "a.wav"))
    refused(lambda: voice.profile(bad))
    refused(lambda: voice.embed(bad))
    refused(lambda: voice.mix([good, bad], [1, 1]))
    refused(lambda: voice.mel(bad), AudioError)
    if voice.backend.runtime == "torch":
        refused(lambda: voice.encode(bad), AudioError)
        refused(lambda: voice.stream(bad))
        if bad is not None:
            refused(lambda: voice.stream(good, source_sample=bad))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", GOOD_WAVES)
def test_every_kind_of_wave_is_heard_alike(voice: Any, name: str) -> None:
    given = GOOD_WAVES[name]()
    expected = voice.embed(SPEECH if name in ("text", "path") else Audio(WAVE, RATE))
    atol = 5e-2 if "16" in name else 1e-6  # half precision is heard as what it rounds to
    np.testing.assert_allclose(voice.embed(given), expected, atol=atol)
    np.testing.assert_allclose(voice.embed([given, given]), expected, atol=atol)
    assert np.isfinite(voice.convert(given, given).wav).all()


def test_the_callers_array_is_left_alone(voice: Any) -> None:
    wav = WAVE.copy()
    voice.convert((wav, RATE), Audio(wav, RATE))
    np.testing.assert_array_equal(wav, WAVE)


def test_bad_embeddings(voice: Any) -> None:
    for name, bad in embeddings(voice.embedding_size).items():
        for call in (voice.profile, voice.embed, lambda e: voice.convert((WAVE, RATE), e)):
            with pytest.raises(EmbeddingError):
                call(bad)
        refused(lambda bad=bad: voice.mix([bad, (WAVE, RATE)], [1.0, 1.0]), EmbeddingError)
        assert name


def test_embeddings_of_every_kind(voice: Any) -> None:
    vector = np.random.default_rng(0).standard_normal(voice.embedding_size)
    expected = vector / np.linalg.norm(vector)
    tensor = torch.tensor(vector)
    for given in (
        vector,
        tensor,
        tensor.clone().requires_grad_(),
        tensor.float(),
        _locked(vector),
        vector[::-1][::-1],
    ):
        np.testing.assert_allclose(voice.embed(given), expected, atol=1e-6)
    np.testing.assert_allclose(voice.embed(tensor.bfloat16()), expected, atol=1e-2)
    whole = np.arange(1, voice.embedding_size + 1)
    np.testing.assert_allclose(voice.embed(whole), whole / np.linalg.norm(whole), atol=1e-6)


def test_a_voice_that_was_put_together_wrongly(voice: Any) -> None:
    from dataclasses import replace

    good = voice.profile((WAVE, RATE))
    colour = good.mel_statistics
    wrong = [
        replace(good, embedding=good.embedding[:-1]),
        replace(good, embedding=good.embedding * np.nan),
        replace(good, pitch_centre=float("nan")),
        replace(good, pitch_centre=float("inf")),
        replace(good, mel_statistics=replace(colour, mean=colour.mean[:-1])),
        replace(good, mel_statistics=replace(colour, deviation=colour.deviation * np.nan)),
        replace(good, mel_statistics=replace(colour, frames=float("nan"))),
        replace(good, mel_statistics=replace(colour, covariance=colour.covariance[:-1, :-1])),
    ]
    for each in wrong:
        refused(lambda each=each: voice.convert((WAVE, RATE), each), EmbeddingError)
    assert voice.profile(good) is good


@pytest.mark.parametrize(
    "weights",
    [
        [1, 3],
        (1, 3),
        np.array([1, 3]),
        torch.tensor([1, 3]),
        [np.int8(1), np.float16(3)],
        [True, 3],
        [-1, 2],
        [0, 5],
    ],
)
def test_whole_numbers_are_weights_too(voice: Any, weights: Any) -> None:
    targets = [SPEECH, SPEECH.with_name("rms_1.flac")]
    mixed = voice.mix(targets, weights)
    floats = voice.mix(targets, [float(weight) for weight in weights])
    np.testing.assert_array_equal(mixed.embedding, floats.embedding)
    np.testing.assert_array_equal(mixed.mel_statistics.mean, floats.mel_statistics.mean)
    assert np.isfinite(mixed.mel_statistics.mean).all()
    share = float(weights[0]) / float(sum(weights))
    a, b = (voice.profile(target).pitch_centre for target in targets)
    assert mixed.pitch_centre == pytest.approx(share * a + (1 - share) * b)


@pytest.mark.parametrize(
    "weights",
    [[], [1], [1, 2, 3], [1, -1], [0, 0], [-1, -2], [1, -3], [np.nan, 1], [np.inf, 1],
     ["1", "2"], [None, 1], 1, None, "12", [[1, 2]], [1j, 1], {1: 2}, [1e308, 1e308]],
)  # fmt: skip
def test_bad_weights(voice: Any, weights: Any) -> None:
    targets = [(WAVE, RATE), SPEECH]
    if weights is None:
        return
    refused(lambda: voice.mix(targets, weights), EmbeddingError)


@pytest.mark.parametrize("targets", [[], (), np.zeros((0,)), [[]]])
def test_no_targets(voice: Any, targets: Any) -> None:
    refused(lambda: voice.profile(targets), EmbeddingError)
    refused(lambda: voice.mix(targets, []), EmbeddingError)


BAD_MATCHING = [float("nan"), float("inf"), -float("inf"), -0.1, 1.5, "half", "0.5", [0.5], True, 1j, np.nan]


@pytest.mark.parametrize("matching", BAD_MATCHING, ids=str)
def test_bad_matching(voice: Any, matching: Any, tmp_path: Path) -> None:
    refused(lambda: voice.convert((WAVE, RATE), SPEECH, matching=matching), ConfigError)
    refused(
        lambda: voice.convert_file((WAVE, RATE), SPEECH, tmp_path / "a.wav", matching=matching), ConfigError
    )
    if voice.backend.runtime == "torch":
        refused(lambda: voice.stream(SPEECH, matching=matching), ConfigError)
        content = voice.encode((WAVE, RATE))
        refused(lambda: voice.decode(content, SPEECH, matching=matching), ConfigError)


@pytest.mark.parametrize("matching", [0, 1, np.float32(0.5), np.int64(1), torch.tensor(0.25), np.array(0.5)])
def test_good_matching(voice: Any, matching: Any) -> None:
    ours = voice.convert((WAVE, RATE), SPEECH, matching=matching).wav
    np.testing.assert_array_equal(ours, voice.convert((WAVE, RATE), SPEECH, matching=float(matching)).wav)


def spoilt(value: float) -> np.ndarray:
    mel = np.full((SPEC.n_mels, 20), -4.0, np.float32)
    mel[3, 4] = value
    return mel


@pytest.mark.parametrize(
    "mel",
    [spoilt(np.nan), spoilt(np.inf), spoilt(-np.inf), spoilt(500.0), np.zeros((SPEC.n_mels, 0)), np.zeros(SPEC.n_mels),
     np.zeros((1, SPEC.n_mels, 9)), np.zeros((9, SPEC.n_mels)), "mel", None, 5, b"mel", np.full((SPEC.n_mels, 9), None),
     np.zeros((SPEC.n_mels, 9), complex), [[1.0], [1.0, 2.0]]],
)  # fmt: skip
def test_bad_mels(tiny_voice: Voice, mel: Any) -> None:
    refused(lambda: tiny_voice.synthesise(mel), AudioError)
    if isinstance(mel, np.ndarray) and mel.dtype == np.float32:
        refused(lambda: tiny_voice.synthesise(torch.tensor(mel)), AudioError)


def test_mels_of_every_kind(tiny_voice: Voice) -> None:
    mel = tiny_voice.mel((WAVE, RATE)).numpy()
    expected = tiny_voice.synthesise(mel).wav
    strided = torch.tensor(np.ascontiguousarray(mel.T)).T
    for given in (
        mel.astype(np.float64),
        strided,
        torch.tensor(mel, requires_grad=True),
        _locked(mel),
        mel.tolist(),
    ):
        np.testing.assert_array_equal(tiny_voice.synthesise(given).wav, expected)


@pytest.mark.parametrize("content", [None, "units", 3, np.zeros((1, 8, 9))])
def test_bad_content(tiny_voice: Voice, content: Any) -> None:
    refused(lambda: tiny_voice.decode(content, SPEECH))


@pytest.mark.parametrize("out", [None, 3, b"a.wav", io.BytesIO(), "a\0b.wav", "", "a.txt", "a"])
def test_bad_places_for_a_result(voice: Any, out: Any) -> None:
    refused(lambda: voice.convert_file((WAVE, RATE), SPEECH, out))


@pytest.mark.parametrize(
    "device", ["gpu", "", "cuda:99", "cuda:-1", "meta", "mps", None, 3, True, b"cpu", 1.5]
)
def test_bad_devices(tiny_model: Path, device: Any) -> None:
    refused(lambda: voiceae.load(tiny_model, "griffinlim", device), ConfigError)


@pytest.mark.parametrize(
    "model", [None, 3, b"base", io.BytesIO(), "", "a\0b", "nobody", SPEECH, SPEECH.parent, "x" * 5000]
)
def test_bad_models_and_vocoders(tiny_model: Path, model: Any) -> None:
    refused(lambda: voiceae.load(model))
    refused(lambda: voiceae.load(tiny_model, vocoder=model))


BAD_SPECS = [
    {"sample_rate": 0}, {"sample_rate": "16000"}, {"hop_length": 0}, {"hop_length": 2048}, {"n_mels": 0},
    {"n_fft": None},
    {"f_max": float("nan")}, {"f_max": 1e9}, {"log_floor": 0}, {"log_floor": float("nan")}, {"win_length": 1024.5},
    {"magnitude_epsilon": float("inf")}, {"hop_length": 255},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_SPECS, ids=str)
def test_bad_specs(fields: dict[str, Any]) -> None:
    refused(lambda: voiceae.AudioSpec(**fields))


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), "1", None])
def test_bad_chunks(seconds: Any) -> None:
    from voiceae.conversion.chunked import ChunkOptions

    for name in ("chunk_seconds", "statistics_seconds", "segment_seconds"):
        refused(lambda name=name: ChunkOptions(**{name: seconds}), ConfigError)


def test_a_stream_takes_its_own_options(tiny_voice: Voice) -> None:
    refused(lambda: tiny_voice.stream(SPEECH, options={"look_ahead": 1}), ConfigError)  # type: ignore[arg-type]
    stream = tiny_voice.stream(SPEECH, options=StreamOptions())
    for block in (
        None,
        "a",
        WAVE[None],
        (WAVE * 9).astype(np.int16),
        np.array([np.nan], np.float32),
        b"ab",
        3.0,
    ):
        refused(lambda block=block: stream.push(block), AudioError)


def test_one_voice_serves_several_threads(voice: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    sources = [(wave(0.5 + 0.1 * place), RATE) for place in range(6)]
    wanted = [voice.convert(source, SPEECH).wav for source in sources]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda source: voice.convert(source, SPEECH).wav, sources))
    for one, other in zip(wanted, found, strict=True):
        assert other.shape == one.shape
        assert np.sqrt(np.mean((other - one) ** 2) / np.mean(one**2)) < 0.02  # phases are found by iteration


def test_bad_amounts_of_an_attribute() -> None:
    voice = voiceae.load(vocoder="griffinlim", device="cpu")
    attribute, profile = Attribute.read(find_attribute("gender")), voice.profile(SPEECH)
    for amount in (np.nan, np.inf, -np.inf, "1", None, [1], 1j, 1e308):
        refused(lambda amount=amount: attribute.move(profile, amount))
    assert np.isfinite(attribute.move(profile, 1).embedding).all()


@pytest.mark.parametrize("steps", [1, 0, -3, 2.5, np.nan, "3", None])
def test_bad_steps(tiny_voice: Voice, steps: Any) -> None:
    profile = tiny_voice.profile((WAVE, RATE))
    refused(lambda: interpolate_profiles(profile, profile, steps), ConfigError)
    refused(lambda: interpolate(tiny_voice, (WAVE, RATE), SPEECH, steps=steps), ConfigError)
