"""Finished mels: the statistics of a voice, as far as they are known and wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from voiceae.conversion.backends.torch import match, source_statistics
from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.dsp.statistics import active_covariance, active_moments, match_moments

pytestmark = pytest.mark.numeric


def speech(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(80) + 0.1 * torch.randn((80, 80), generator=generator)
    return -5 + 0.2 * mixing @ torch.randn((80, 600), generator=generator)


@pytest.fixture
def voice() -> SpeakerProfile:
    mel = speech(1)
    mean, deviation, frames = (each[0] for each in active_moments(mel[None]))
    colour = MelStatistics(mean.numpy(), deviation.numpy(), float(frames), active_covariance(mel.numpy()))
    return SpeakerProfile(torch.ones(4).numpy() / 2, 1.0, colour)


def plain(mel: torch.Tensor, profile: SpeakerProfile, strength: float) -> torch.Tensor:
    assert profile.mel_statistics is not None
    mean, deviation = (
        torch.from_numpy(each)[None]
        for each in (profile.mel_statistics.mean, profile.mel_statistics.deviation)
    )
    return match_moments(
        mel[None], mean, deviation, torch.tensor([profile.mel_statistics.frames]), strength=strength
    )[0]


def test_moments_first_and_then_the_covariance(voice: SpeakerProfile) -> None:
    mel = speech(2)
    assert voice.mel_statistics is not None and voice.mel_statistics.covariance is not None
    before, after = (
        abs(active_covariance(each.numpy()) - voice.mel_statistics.covariance).max()
        for each in (plain(mel, voice, 1.0), match(mel, voice, 1.0))
    )
    assert after < 0.8 * before
    weaker, full = (match(mel, voice, s) - plain(mel, voice, s) for s in (0.5, 1.0))
    assert 0.3 < float(weaker.norm() / full.norm()) < 0.7


def test_what_is_not_known_or_not_wanted_is_not_done(voice: SpeakerProfile) -> None:
    mel = speech(2)
    assert voice.mel_statistics is not None
    older = replace(voice, mel_statistics=replace(voice.mel_statistics, covariance=None))
    torch.testing.assert_close(match(mel, older, 1.0), plain(mel, voice, 1.0), rtol=0, atol=0)
    torch.testing.assert_close(match(mel, voice, 0.0), mel)
    assert match(mel, replace(voice, mel_statistics=None), 1.0) is mel


def test_a_piece_is_matched_as_part_of_the_whole(voice: SpeakerProfile) -> None:
    mel = speech(2)
    own = source_statistics(mel, voice, 1.0)
    pieces = [match(piece, voice, 1.0, own) for piece in mel.split(70, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), match(mel, voice, 1.0), rtol=0, atol=1e-5)
