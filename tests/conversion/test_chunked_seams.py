"""A recording in chunks, or streamed, is the recording as a whole: for every system there is an experiment for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conversion.test_chunked import speechlike
from tests.systems import SMALL, small_system
from tests.tiny import SPEC
from voiceae import Audio
from voiceae.conversion.backends.torch import TorchBackend, decode, match
from voiceae.conversion.chunked import ChunkedConversion, ChunkOptions
from voiceae.conversion.streaming.stream import StreamOptions
from voiceae.conversion.voice import Voice
from voiceae.nn.receptive_field import receptive_field
from voiceae.vocoders.griffinlim import GriffinLim

pytestmark = pytest.mark.numeric

RATE = SPEC.sample_rate


@cache
def voice_of(name: str) -> Voice:
    """A small system with numpy's random weights, and about as loud as speech."""
    model, rng = small_system(name).eval(), np.random.default_rng(0)
    gain = 2.0 if name == "autovc" else 0.7  # gates of recurrent layers let little through
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:  # biases are drawn by `small_system`, seeded
                scale = gain * weight[0].numel() ** -0.5
                weight.copy_(torch.from_numpy(scale * rng.standard_normal(weight.shape)))
    model.set_statistics(torch.full((SPEC.n_mels,), -4.0), torch.full((SPEC.n_mels,), 2.0))
    return Voice(TorchBackend(model=model, spec=SPEC, vocoder=GriffinLim(SPEC, n_iter=4)))


def log_mel(voice: Voice, audio: Audio) -> Tensor:
    return voice.torch_backend.transform(torch.from_numpy(audio.wav))


@pytest.mark.parametrize("name", SMALL)
def test_the_mel_in_chunks_is_that_of_the_whole(name: str) -> None:
    voice, wav = voice_of(name), speechlike(9.0)
    profile = voice.profile(Audio(speechlike(2.0, seed=5), RATE))
    engine = voice.torch_backend
    chunks = ChunkedConversion(engine, lambda: iter((wav,)), profile, 1.0, ChunkOptions(chunk_seconds=1.0))
    with torch.inference_mode():
        mel = voice.mel(Audio(wav, RATE))
        whole = match(decode(voice.model, voice.model.encode(mel[None]), profile), profile, 1.0)
        parts = list(chunks.converted_mels(chunks.freeze_statistics()))
    assert len(parts) > 3
    apart = (torch.cat(parts, dim=1) - whole).abs().mean(0)
    assert float(whole.std(1).mean()) > 0.1  # there is something to tell apart
    assert float(apart.mean()) < 1e-3, f"{name}: {float(apart.mean()):.4f} nats from the whole on average"
    seams = np.cumsum([part.shape[1] for part in parts])[:-1]
    at_seams = apart[np.concatenate([np.arange(seam - 4, seam + 4) for seam in seams])]
    assert float(at_seams.mean()) < 1e-3, (
        f"{name}: {float(at_seams.mean()):.4f} nats from the whole at the seams"
    )


def test_the_wave_of_again_vc_in_chunks_is_that_of_the_whole() -> None:
    voice, source = voice_of("again_vc"), Audio(speechlike(8.0), RATE)
    profile = voice.profile(Audio(speechlike(2.0, seed=5), RATE))
    whole, chunks = (
        voice.convert(source, profile, chunks=cut) for cut in (None, ChunkOptions(chunk_seconds=1.0))
    )
    assert len(whole.wav) == len(chunks.wav) == len(source.wav)
    apart = (log_mel(voice, whole) - log_mel(voice, chunks)).abs()
    assert float(apart.mean()) < 1e-3, f"{float(apart.mean()):.4f} nats from the whole on average"


@pytest.mark.parametrize("name", ["vae", "again_vc", "autovc"])
def test_the_mel_streamed_is_near_that_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a speaker who is known before, so that the statistics are settled from the first word on."""
    voice, source = voice_of(name), Audio(np.tile(speechlike(2.0), 2), RATE)
    profile, rate = voice.profile(Audio(speechlike(2.0, seed=5), RATE)), voice.model.rate
    ahead, silence = -(-receptive_field(voice.model.content, voice.model.decoder) // rate), -120.0
    options = StreamOptions(
        look_ahead=ahead, context_seconds=0.8, memory_seconds=1000.0, gate_dbfs=silence, int8=False
    )
    stream, said = voice.stream(profile, source_sample=source, options=options), []
    push = stream._vocoder.push
    monkeypatch.setattr(stream._vocoder, "push", lambda mel: (said.append(mel), push(mel))[1])
    stream.push(source.wav)
    stream.flush()
    streamed, whole = torch.cat(said, dim=1)[:, ahead * rate :], voice.decode(voice.encode(source), profile)
    frames = min(streamed.shape[1], whole.shape[1])
    first = frames // 2  # the level is settled by then
    apart = (streamed[:, first:frames] - whole[:, first:frames]).abs()
    changes = float(whole.std(1).mean())
    assert float(apart.mean()) < 0.25 * changes, f"{name}: {float(apart.mean()):.3f} of {changes:.3f} nats"
