"""Frames of the target on their way to the decoder: whole, in chunks, streamed, through batches and latent tools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conversion.streaming.test_stream import buzz
from tests.conversion.test_chunked import speechlike
from tests.tiny import SPEC
from voiceae import Audio
from voiceae.conversion.chunked import ChunkedConversion, ChunkOptions
from voiceae.conversion.speaker_profile import MAX_TIMBRE_TOKENS, SpeakerProfile
from voiceae.conversion.streaming.stream import Stream, StreamOptions
from voiceae.conversion.voice import Voice
from voiceae.errors import EmbeddingError
from voiceae.nn.receptive_field import receptive_field

RATE = SPEC.sample_rate
SOURCE = Audio(speechlike(6.0), RATE)
TARGET, OTHER = Audio(buzz(2.0, 200.0, seed=1), RATE), Audio(buzz(2.0, 90.0, seed=5)[::-1].copy(), RATE)


@pytest.fixture(scope="module")
def profile(timbre_voice: Voice) -> SpeakerProfile:
    return timbre_voice.profile(TARGET)


@pytest.fixture(scope="module")
def others_frames(timbre_voice: Voice, profile: SpeakerProfile) -> SpeakerProfile:
    """The same vector, pitch and statistics, with the frames of another voice."""
    return replace(profile, timbre=timbre_voice.profile(OTHER).timbre)


def whole(voice: Voice, profile: SpeakerProfile, matching: float = 1.0) -> np.ndarray:
    backend = voice.backend
    wav = voice._levelled(SOURCE, 0.1, "a source").wav
    return backend.decode(backend.encode(backend.features(wav)), profile, matching)


@pytest.mark.parametrize("matching", [0.0, 1.0])
def test_a_voice_gives_what_the_network_gives(
    timbre_voice: Voice, profile: SpeakerProfile, matching: float
) -> None:
    model, source, target = timbre_voice.model, timbre_voice.mel(SOURCE), timbre_voice.mel(TARGET)
    with torch.inference_mode():
        traits = model.describe(target[None])
        wanted = model.convert(source[None], traits, matching=matching)[0]
    assert traits.timbre is not None
    np.testing.assert_array_equal(profile.timbre, traits.timbre.tokens[0].numpy())
    assert profile.timbre.shape == (-(-target.shape[1] // model.rate), timbre_voice.backend.timbre_dim)
    np.testing.assert_allclose(whole(timbre_voice, profile, matching), wanted.numpy(), atol=1e-4)
    decoded = timbre_voice.decode(timbre_voice.encode(SOURCE), TARGET, matching=0.0)
    with torch.inference_mode():
        np.testing.assert_allclose(decoded, model.convert(source[None], traits, matching=0.0)[0], atol=1e-4)


def apart(a: np.ndarray | Tensor, b: np.ndarray | Tensor) -> float:
    """Mean difference in natural-log units."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).mean())


def test_frames_matter_and_a_bare_vector_is_decoded_without(
    timbre_voice: Voice, profile: SpeakerProfile, others_frames: SpeakerProfile
) -> None:
    bare = replace(profile, timbre=None)
    mels = [whole(timbre_voice, each, 0.0) for each in (profile, others_frames, bare)]
    assert apart(mels[0], mels[1]) > 0.02 and apart(mels[0], mels[2]) > 0.02
    source = timbre_voice.mel(SOURCE)
    with torch.inference_mode():
        traits = replace(timbre_voice.model.describe(timbre_voice.mel(TARGET)[None]), timbre=None)
        wanted = timbre_voice.model.convert(source[None], traits, matching=0.0)[0]
    np.testing.assert_allclose(mels[2], wanted.numpy(), atol=1e-4)
    assert timbre_voice.profile(profile.embedding).timbre is None


def chunked(voice: Voice, profile: SpeakerProfile) -> Tensor:
    wav = SOURCE.wav
    cut = ChunkedConversion(
        voice.torch_backend, lambda: iter((wav,)), profile, 0.0, ChunkOptions(chunk_seconds=1.0)
    )
    return torch.cat(list(cut.converted_mels(cut.freeze_statistics())), dim=1)


def test_chunks_have_no_seams(
    timbre_voice: Voice, profile: SpeakerProfile, others_frames: SpeakerProfile
) -> None:
    found = chunked(timbre_voice, profile)
    assert apart(found, whole(timbre_voice, profile, 0.0)) < 1e-3
    assert apart(found, chunked(timbre_voice, others_frames)) > 0.02


def streamed(
    voice: Voice, profile: SpeakerProfile, monkeypatch: pytest.MonkeyPatch, *, int8: bool = False
) -> np.ndarray:
    """The mels that a stream hands to its vocoder, the speaker being known before: (M, T)."""
    model = voice.model
    ahead = -(-receptive_field(model.content, model.decoder) // model.rate)
    options = StreamOptions(
        look_ahead=ahead, context_seconds=0.8, memory_seconds=1000.0, gate_dbfs=-120.0, int8=int8
    )
    stream: Stream = voice.stream(profile, source_sample=SOURCE, options=options, matching=0.0)
    said: list[Tensor] = []
    push = stream._vocoder.push
    with monkeypatch.context() as patch:
        patch.setattr(stream._vocoder, "push", lambda mel: (said.append(mel), push(mel))[1])
        stream.push(SOURCE.wav)
        stream.flush()
    return torch.cat(said, dim=1)[:, ahead * model.rate :].numpy()


@pytest.mark.parametrize("int8", [False, True])
def test_a_stream_keeps_the_frames_of_its_target(
    timbre_voice: Voice,
    profile: SpeakerProfile,
    others_frames: SpeakerProfile,
    monkeypatch: pytest.MonkeyPatch,
    int8: bool,
) -> None:
    found, others = (
        streamed(timbre_voice, each, monkeypatch, int8=int8) for each in (profile, others_frames)
    )
    wanted, other_whole = (whole(timbre_voice, each, 0.0) for each in (profile, others_frames))
    half = slice(found.shape[1] // 2, min(found.shape[1], wanted.shape[1]))  # the level is settled by then
    own = apart(found[:, half], wanted[:, half])
    assert own < 0.5 * apart(found[:, half], others[:, half])
    assert own < 0.5 * apart(found[:, half], other_whole[:, half])


def test_several_references_give_frames_each(timbre_voice: Voice, profile: SpeakerProfile) -> None:
    both = timbre_voice.profile([TARGET, OTHER])
    other = timbre_voice.profile(OTHER)
    np.testing.assert_array_equal(both.timbre, np.concatenate((profile.timbre, other.timbre)))
    with torch.inference_mode():
        found = timbre_voice.convert(SOURCE, [TARGET, OTHER])
        np.testing.assert_array_equal(found.wav, timbre_voice.convert(SOURCE, both).wav)
    mixed = timbre_voice.mix([TARGET, OTHER], [3, 1])
    count = len(mixed.timbre)
    assert sum((token == profile.timbre).all(1).any() for token in mixed.timbre) == pytest.approx(
        0.75 * count, abs=1
    )


def test_of_a_long_reference_frames_of_all_of_it_are_kept(timbre_voice: Voice) -> None:
    long = np.concatenate([OTHER.wav[: 1 * RATE]] * 9 + [TARGET.wav] * 20)
    kept = timbre_voice.profile(Audio(long, RATE))
    assert kept.timbre is not None and len(kept.timbre) == MAX_TIMBRE_TOKENS
    every = timbre_voice.model.describe(timbre_voice.mel(Audio(long, RATE))[None]).timbre
    assert every is not None
    places = [int(np.abs(every.tokens[0].numpy() - token).sum(1).argmin()) for token in kept.timbre]
    assert min(places) < 8 and max(places) > every.tokens.shape[1] - 60


def test_a_model_without_keeps_none_and_refuses_those_of_another(
    tiny_voice: Voice, profile: SpeakerProfile
) -> None:
    assert tiny_voice.profile(TARGET).timbre is None
    with pytest.raises(EmbeddingError, match="this model needs none"):
        tiny_voice.convert(SOURCE, profile)
