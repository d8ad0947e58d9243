"""The discriminator and its losses."""

import pytest
import torch

from voiceae.models.discriminators import (
    MelDiscriminator,
    feature_matching_loss,
    mel_adversarial_loss,
    mel_discriminator_loss,
)
from voiceae.nn.layers import lengths_to_mask


def test_padding_is_not_judged():
    torch.manual_seed(0)
    discriminator = MelDiscriminator(n_mels=80, speaker_dim=4, channels=8).eval()
    mel, speaker = torch.randn(1, 80, 16), torch.randn(1, 4)
    alone = discriminator(mel, speaker, torch.ones(1, 16, dtype=torch.bool))
    padded = torch.cat((mel, torch.full((1, 80, 16), 7.0)), -1)
    both = discriminator(padded, speaker, lengths_to_mask(torch.tensor([16]), 32))
    torch.testing.assert_close(both.scores[:, :4], alone.scores)
    torch.testing.assert_close(mel_adversarial_loss(both), mel_adversarial_loss(alone))


@pytest.mark.parametrize("frames", [16, 15, 13])  # whose last patch is whole, half and a quarter speech
def test_padding_is_in_no_loss(frames: int):
    torch.manual_seed(0)
    discriminator = MelDiscriminator(n_mels=80, speaker_dim=4, channels=8).eval()
    real, made, speaker = torch.randn(1, 80, frames), torch.randn(1, 80, frames), torch.randn(1, 4)
    padding, mask = torch.full((1, 80, 32 - frames), 7.0), lengths_to_mask(torch.tensor([frames]), 32)
    alone = [discriminator(mel, speaker, torch.ones(1, frames, dtype=torch.bool)) for mel in (real, made)]
    padded = [discriminator(torch.cat((mel, padding), -1), speaker, mask) for mel in (real, made)]
    torch.testing.assert_close(feature_matching_loss(*padded), feature_matching_loss(*alone))
    torch.testing.assert_close(mel_adversarial_loss(padded[1]), mel_adversarial_loss(alone[1]))
    torch.testing.assert_close(
        mel_discriminator_loss(padded[0], padded[1:]), mel_discriminator_loss(alone[0], alone[1:])
    )


def test_discriminator_learns_to_tell_and_by_voice():
    """Two kinds of mel in two voices: only the voice tells which pairing is right."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    discriminator = MelDiscriminator(n_mels=80, speaker_dim=2, channels=16)
    optimizer = torch.optim.Adam(discriminator.parameters(), 3e-3)
    mask = torch.ones(16, 16, dtype=torch.bool)
    which = torch.arange(16) % 2
    voices = torch.eye(2)[which]
    for _ in range(200):
        mel = torch.randn((16, 80, 16), generator=generator) + (2.0 * which - 1)[:, None, None]
        loss = mel_discriminator_loss(
            discriminator(mel, voices, mask), [discriminator(mel, voices.flip(-1), mask)]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_feature_matching_of_a_mel_with_itself_is_zero():
    discriminator = MelDiscriminator(n_mels=80, speaker_dim=2, channels=8)
    mask = torch.ones(2, 8, dtype=torch.bool)
    mel, voice = torch.randn(2, 80, 8), torch.randn(2, 2)
    verdict = discriminator(mel, voice, mask)
    assert feature_matching_loss(verdict, verdict).item() == 0
    assert feature_matching_loss(verdict, discriminator(mel + 1, voice, mask)).item() > 0
    assert mel_adversarial_loss(verdict).item() == pytest.approx((verdict.scores - 1).square().mean().item())
