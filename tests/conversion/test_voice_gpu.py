"""Conversion on a GPU that is not there: from wave to wave, by every system, every vocoder, and as a stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests import tiny
from tests.fake_cuda import fake_cuda
from tests.systems import SMALL, small_system, speechlike
from voiceae.assets import find_vocoder
from voiceae.conversion.backends.torch import TorchBackend
from voiceae.conversion.chunked import ChunkOptions
from voiceae.conversion.voice import Voice
from voiceae.models import Autoencoder
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.griffinlim import GriffinLim
from voiceae.vocoders.hifigan import HiFiGAN
from voiceae.vocoders.load import load_vocoder

SPEC = AudioSpec()
RATE = SPEC.sample_rate


def bundled() -> Vocoder:
    return load_vocoder(find_vocoder("default", SPEC), SPEC)


def hifigan() -> Vocoder:
    return HiFiGAN(
        spec=SPEC,
        resblock="1",
        upsample_rates=(8, 8, 4),
        upsample_kernel_sizes=(16, 16, 8),
        upsample_initial_channel=16,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
    ).eval()


def griffinlim() -> Vocoder:
    return GriffinLim(SPEC).eval()


VOCODERS = (bundled, hifigan, griffinlim)


def parts(vocoder: Vocoder, bottleneck: str = "gaussian") -> tuple[Autoencoder, Vocoder]:
    return tiny.small_model(bottleneck).eval().requires_grad_(False), vocoder


def on_gpu(model: Autoencoder, vocoder: Vocoder) -> Voice:
    backend = TorchBackend(model=model.to("cuda"), spec=SPEC, vocoder=vocoder.to("cuda"), fingerprint="0")
    return Voice(backend)


def wave(seconds: float, seed: int = 0) -> tuple[np.ndarray, int]:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)
    return 0.1 * noise * np.hanning(len(noise)).astype(np.float32), RATE


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_system_converts(name: str) -> None:
    model = small_system(name).eval()
    with fake_cuda() as watch, torch.no_grad():
        model.to("cuda")
        mel = speechlike(1, 40).to("cuda")
        mask = torch.ones(1, 40, dtype=torch.bool, device="cuda")
        watch.waits.clear()
        converted = model.convert(mel, model.describe(mel, mask))
        assert converted.is_cuda and converted.shape == mel.shape
        assert not watch.waits


@pytest.mark.parametrize("make", VOCODERS)
def test_a_voice_converts_with_every_vocoder(make: Callable[[], Vocoder]) -> None:
    made = parts(make())
    with fake_cuda():
        voice = on_gpu(*made)
        audio = voice.convert(wave(0.6), wave(0.6, seed=1))
        assert audio.wav.shape == wave(0.6)[0].shape


@pytest.mark.parametrize("make", VOCODERS)
def test_a_voice_streams_with_every_vocoder(make: Callable[[], Vocoder]) -> None:
    made = parts(make())
    with fake_cuda():
        voice = on_gpu(*made)
        stream = voice.stream(wave(0.6, seed=1), source_sample=wave(0.6))
        spoken, _ = wave(0.1)
        chunks = [stream.push(block) for block in np.array_split(spoken, 2)]
        assert sum(map(len, chunks)) + len(stream.flush()) > 0


def test_a_voice_converts_in_chunks() -> None:
    made = parts(bundled())
    with fake_cuda():
        voice = on_gpu(*made)
        chunks = ChunkOptions(chunk_seconds=0.7, statistics_seconds=0.6, segment_seconds=0.3)
        audio = voice.convert(wave(1.0), wave(0.6, seed=1), chunks=chunks)
        assert len(audio.wav) == RATE
