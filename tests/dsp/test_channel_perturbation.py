"""Recording channels on mels, against the same channels on waves."""

import math
from dataclasses import replace

import numpy as np
import torch
from scipy import signal

from voiceae.dsp.channel_perturbation import ChannelPerturbation, ChannelSettings
from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec

SPEC = AudioSpec()
CHANNEL = ChannelPerturbation(SPEC)
NEUTRAL = ChannelSettings(
    gain=torch.zeros(1, 80),
    decay=torch.zeros(1),
    wet=torch.zeros(1),
    band=torch.tensor([[0, 80]]),
    codec_range=torch.tensor([math.inf]),
    noise=torch.full((1, 80, 86), -math.inf),
)


def noise_mel(seconds: float = 1.0, seed: int = 0) -> torch.Tensor:
    wav = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * SPEC.sample_rate))
    return LogMel(SPEC)(torch.from_numpy(wav).float())[None]


def test_a_neutral_channel_changes_nothing():
    mel = noise_mel()
    torch.testing.assert_close(CHANNEL(mel, NEUTRAL), mel, atol=1e-4, rtol=0)


def test_a_room_is_that_of_a_decaying_noise_tail():
    """A burst through an exponentially decaying impulse response: the tail falls as fast on the mel."""
    rate, decay = SPEC.sample_rate, 0.1
    rng = np.random.default_rng(0)
    wav = np.zeros(rate)
    wav[2000:4000] = rng.standard_normal(2000)
    time = np.arange(rate // 2) / rate
    response = rng.standard_normal(len(time)) * np.exp(
        -time / decay / 2
    )  # the energy falls to 1/e in `decay`
    response[0] = 10.0
    wet = LogMel(SPEC)(torch.from_numpy(signal.fftconvolve(wav, response)[:rate] / 10).float())[None]
    dry = LogMel(SPEC)(torch.from_numpy(wav).float())[None]
    made = CHANNEL(dry, replace(NEUTRAL, decay=torch.tensor([decay]), wet=torch.tensor([0.5])))
    fall, wanted = (mel[0, 10:60].mean(0)[24] - mel[0, 10:60].mean(0)[44] for mel in (made, wet))
    assert abs(fall - wanted) < 0.15 * wanted and wanted > 0.7


def test_noise_lies_below_the_loudest_band_and_fluctuates_as_white_noise_does():
    made = CHANNEL.draw(64, 86, torch.Generator().manual_seed(0))
    noisy = made.noise[torch.isfinite(made.noise[:, 0, 0])]
    assert 0.3 < len(noisy) / 64 < 0.7
    level = noisy.mean((1, 2)) / math.log(10) * 20
    assert level.max() < 3 and level.min() > -58
    fluctuation = noisy.std(-1).mean()
    assert abs(fluctuation - noise_mel(4.0)[0, 20:].std(-1).mean()) < 0.1


def test_a_band_limit_takes_away_what_lies_beyond_and_nothing_else():
    mel = noise_mel()
    made = CHANNEL(mel, replace(NEUTRAL, band=torch.tensor([[8, 60]])))
    torch.testing.assert_close(made[:, 8:61], mel[:, 8:61], atol=1e-3, rtol=0)
    lost = (mel - made).mean(-1)[0]
    assert (lost[:5] > 5).all() and (lost[64:] > 5).all()


def test_a_codec_drops_what_is_far_below_the_peak_of_its_frame():
    mel = torch.full((1, 80, 3), -2.0)
    mel[:, 40:] = -6.0
    mel[:, :, 1] = -6.0
    made = CHANNEL(mel, replace(NEUTRAL, codec_range=torch.tensor([3.0]), noise=NEUTRAL.noise[..., :3]))
    floor = math.log(SPEC.log_floor)
    torch.testing.assert_close(made[0, 40:, 0], torch.full((40,), floor))
    torch.testing.assert_close(made[0, :, 1], mel[0, :, 1], atol=1e-4, rtol=0)


def test_channels_of_a_draw_differ_and_the_same_generator_draws_them_again():
    first, again = (CHANNEL.draw(8, 20, torch.Generator().manual_seed(1)) for _ in range(2))
    mel = noise_mel()[..., :20].expand(8, -1, -1)
    torch.testing.assert_close(CHANNEL(mel, first), CHANNEL(mel, again))
    made = CHANNEL(mel, first)
    assert torch.isfinite(made).all() and (made[0] - made[1:]).abs().mean((1, 2)).min() > 0.1
