"""Statistics of loud frames, and mels that are given them."""

import numpy as np
import torch

from voiceae.dsp.activity import active_frames
from voiceae.dsp.statistics import active_moments, match_moments


def speech(frames: int, level: float, scale: float, seed: int = 0) -> torch.Tensor:
    return level + scale * torch.randn((1, 80, frames), generator=torch.Generator().manual_seed(seed))


def test_pauses_and_padding_are_not_loud():
    mel = speech(10, -4.0, 0.1)
    mel[..., 3:5] -= 6.0
    mask = torch.arange(10)[None] < 8
    assert active_frames(mel, mask)[0].int().tolist() == [1, 1, 1, 0, 0, 1, 1, 1, 0, 0]
    mean, _, frames = active_moments(mel, mask)
    torch.testing.assert_close(mean, mel[..., [0, 1, 2, 5, 6, 7]].mean(-1))
    assert frames.item() == 6


def test_active_frames_are_the_same_with_numpy_and_by_the_closed_form():
    mel = torch.cat([speech(50, level, 1.0) for level in (-2.0, -6.0, -8.0, -10.0)], dim=-1)
    mask = torch.arange(200)[None] < 180
    level = torch.logsumexp(mel, dim=1).masked_fill(~mask, -torch.inf)
    expected = level > level.amax(-1, keepdim=True) - 5.0
    assert torch.equal(active_frames(mel, mask), expected) and 0 < expected.sum() < 180
    assert np.array_equal(active_frames(mel.numpy(), mask.numpy()), expected.numpy())
    assert not active_frames(np.full((80, 3), np.nan)).any()


def test_long_mels_take_over_the_voices_statistics():
    mean, deviation, frames = active_moments(speech(20_000, -3.0, 0.7, seed=1))
    matched = match_moments(speech(20_000, -5.0, 0.5), mean, deviation, frames)
    torch.testing.assert_close(matched.mean(-1), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(matched.std(-1), deviation, atol=0.02, rtol=0)


def test_strength_zero_and_own_statistics_change_nothing():
    mel = speech(500, -5.0, 0.5)
    mean, deviation, frames = active_moments(speech(500, -3.0, 0.7, seed=1))
    torch.testing.assert_close(match_moments(mel, mean, deviation, frames, strength=0.0), mel)
    torch.testing.assert_close(match_moments(mel, *active_moments(mel)), mel, atol=1e-5, rtol=1e-5)


def test_few_frames_are_trusted_little():
    """One frame has no deviation of its own; it must not be blown up to the voice's."""
    mean, deviation, frames = active_moments(speech(500, -3.0, 0.7, seed=1))
    one = speech(1, -5.0, 0.5)
    matched = match_moments(one, mean, deviation, frames)
    assert (matched - one).abs().max() < 0.3
    assert matched.isfinite().all()


def test_a_slip_of_the_network_is_not_made_a_click() -> None:
    mel = speech(2_000, -5.0, 0.5)
    mel[0, 3, 700] = -1.0  # eight deviations above its bin's mean
    wider = match_moments(mel, *active_moments(speech(2_000, -5.0, 1.0)))
    assert float(wider[0, 3].std()) > 0.9
    assert float(wider[0, 3, 700]) < -5.0 + 3.0 * 1.0 + (4.0 - 3.0 * 0.5) + 0.3
