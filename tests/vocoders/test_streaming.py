from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.tiny import SPEC
from tests.vocoders.test_sourcefilter import DESCRIPTION
from voiceae.dsp.mel import LogMel
from voiceae.io.modelfile import build
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.griffinlim import GriffinLim
from voiceae.vocoders.streaming import (
    SlidingWindowVocoder,
    StreamingGriffinLim,
    StreamingSourceFilter,
    StreamingVocoder,
    streaming_vocoder,
)

pytestmark = pytest.mark.numeric

GRIFFIN_LIM = GriffinLim(SPEC)


class Held(Vocoder):
    """Every sample is a frame's first bin, three frames later."""

    spec, name, context_frames = SPEC, "held", 4

    def forward(self, mel: Tensor) -> Tensor:
        late = torch.nn.functional.pad(mel[:, 0], (3, 0))[:, : mel.shape[2]]
        return late.repeat_interleave(SPEC.hop_length, dim=1)


def speak(vocoder: StreamingVocoder, mel: Tensor, step: int = 4) -> Tensor:
    """Steps of a fixed size, with silence after the last one, the delay taken off."""
    after = -(-vocoder.delay_samples // SPEC.samples(step)) * step
    silence = torch.full((SPEC.n_mels, after), -11.5)
    with torch.inference_mode():
        wav = torch.cat([vocoder.push(part) for part in torch.cat((mel, silence), 1).split(step, dim=1)])
    return wav[vocoder.delay_samples :][: SPEC.samples(mel.shape[1])]


def glide(frames: int) -> Tensor:
    """A voice-like buzz of moving pitch: (N,)."""
    time = torch.arange(SPEC.samples(frames)) / SPEC.sample_rate
    turns = torch.cumsum(120 + 30 * torch.sin(4 * time), 0) / SPEC.sample_rate
    return 0.05 * torch.stack([torch.sin(2 * torch.pi * k * turns) / k for k in range(1, 20)]).sum(0)


def test_phases_on_the_fly_come_near_to_those_of_the_whole() -> None:
    transform = LogMel(SPEC)
    mel = transform(glide(100))
    wav = speak(StreamingGriffinLim(GRIFFIN_LIM), mel)
    assert len(wav) == SPEC.samples(100)
    live, whole = (
        float((transform(each) - mel)[:, 8:92].abs().mean()) for each in (wav, GRIFFIN_LIM(mel[None])[0])
    )
    assert live < 2 * whole
    assert live < 0.5 * float(
        (transform(speak(StreamingGriffinLim(GRIFFIN_LIM, n_iter=0), mel)) - mel)[:, 8:92].abs().mean()
    )


def test_sound_stands_where_it_stood() -> None:
    transform = LogMel(SPEC)
    wav = glide(80)
    wav[: SPEC.samples(40)] = 0
    out = speak(StreamingGriffinLim(GRIFFIN_LIM), transform(wav))
    energy = out.view(-1, SPEC.hop_length).square().mean(1)
    assert float(energy[:37].max()) < 1e-3 * float(energy[44:76].min())


def test_a_network_is_shown_a_window() -> None:
    mel = torch.randn(SPEC.n_mels, 40)
    out = speak(SlidingWindowVocoder(Held(), look_ahead=2), mel)
    torch.testing.assert_close(out.view(-1, SPEC.hop_length)[3:, 0], mel[0, :-3])


@pytest.mark.parametrize("look_ahead", [0, 1, 3])
def test_silence_again_after_a_reset(look_ahead: int) -> None:
    mel = LogMel(SPEC)(glide(24))
    vocoder = StreamingGriffinLim(GRIFFIN_LIM, look_ahead=look_ahead)
    first = speak(vocoder, mel)
    vocoder.reset()
    torch.testing.assert_close(speak(vocoder, mel), first)


def test_every_kind_has_its_form_for_streams() -> None:
    own = build(DESCRIPTION).eval()
    assert isinstance(streaming_vocoder(own), StreamingSourceFilter)
    assert isinstance(streaming_vocoder(GRIFFIN_LIM), StreamingGriffinLim)
    assert isinstance(streaming_vocoder(Held()), SlidingWindowVocoder)
