"""The place of a click from the loudness of frames, against clicks put there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import click_positions

OTHER = AudioSpec(sample_rate=16000, n_fft=1024, win_length=800, hop_length=200)


def click(place: int, noise: float = 1e-4) -> Tensor:
    wav = noise * torch.randn(25600, generator=torch.Generator().manual_seed(place))
    wav[place] += 0.5
    return wav


def energy(wav: Tensor, spec: AudioSpec) -> Tensor:
    return LogMel(spec).magnitude(wav).square().sum(0)[None]


@pytest.mark.parametrize("spec", [AudioSpec(), OTHER], ids=["default", "short window"])
@pytest.mark.parametrize("place", [6000, 6100, 6272, 6399, 6400, 12345])
def test_every_frame_that_hears_it_knows_where(spec: AudioSpec, place: int) -> None:
    found = click_positions(energy(click(place), spec), spec)[0]
    starts = torch.arange(len(found)) * spec.hop_length - spec.padding
    distance = place - starts - spec.n_fft / 2
    audible = distance.abs() < 0.45 * spec.win_length
    torch.testing.assert_close(
        (found + starts)[audible], torch.full((int(audible.sum()),), float(place)), atol=1, rtol=0
    )
    assert bool(found[distance.abs() > 3 * spec.hop_length].isnan().all())


def test_steady_sounds_and_silence_have_none() -> None:
    spec = AudioSpec()
    noise = 0.1 * torch.randn(44100, generator=torch.Generator().manual_seed(0))
    hum = torch.sin(torch.arange(44100) * 0.03)
    for wav in (noise, hum, torch.zeros(44100)):
        assert bool(click_positions(energy(wav, spec), spec).isnan().all())


def test_speech_has_next_to_none(spec: AudioSpec, clips: list[Tensor]) -> None:
    share = [float(click_positions(energy(clip, spec), spec).isfinite().float().mean()) for clip in clips]
    assert max(share) < 0.02


def test_windows_that_hardly_overlap_cannot_tell() -> None:
    spec = AudioSpec(n_fft=512, win_length=512, hop_length=256, n_mels=40)
    assert bool(click_positions(energy(click(6000), spec), spec).isnan().all())
    assert bool(click_positions(torch.ones(1, 1), AudioSpec()).isnan().all())
