"""The two steps between content and a finished mel that depend on the target speaker: pitch and statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE
from voiceae.dsp.covariance_matching import CovarianceMatch, covariance_match
from voiceae.dsp.statistics import active_moments, match_moments
from voiceae.models import Autoencoder, Content, VoiceTraits

Moments = tuple[Tensor, Tensor, Tensor]
"""What `active_moments` gives: mean and deviation (1, M), and number (1,), of active frames."""


def decode(
    model: Autoencoder, content: Content, profile: SpeakerProfile, centre: float | None = None
) -> Tensor:
    """Content in a voice, its pitch moved to the voice's: -> (M, T).

    Args:
        model: the network.
        content: of one source.
        profile: the voice.
        centre: where the source's pitch is, octaves, NaN where that is not known; the content's own by default.
    """
    device = content.pitch_centre.device
    embedding = torch.as_tensor(profile.embedding, device=device)[None]
    octaves = None
    own = known_centre(content) if centre is None else centre
    if profile.pitch_centre is not None and not math.isnan(own):
        octaves = torch.full_like(content.pitch_centre, profile.pitch_centre - own)
    return model.decode(content, embedding, octaves=octaves)[0]


def known_centre(content: Content | VoiceTraits) -> float:
    """Where the pitch of one recording is, octaves; NaN where it has none that can be relied on."""
    sure = getattr(content, "pitch_confidence", None)
    reliable = sure is None or float(sure[0]) >= MIN_PITCH_CONFIDENCE
    return float(content.pitch_centre[0]) if reliable else math.nan


@dataclass(frozen=True)
class SourceStatistics:
    """What a converted mel is like as a whole, and what follows from that for each of its pieces.

    Attributes:
        moments: of it.
        covariance_match: brings it to the target's covariance after its moments were matched; None where it does not.
    """

    moments: Moments
    covariance_match: CovarianceMatch | None


def source_statistics(mel: Tensor, profile: SpeakerProfile, strength: float) -> SourceStatistics:
    """Statistics of a converted mel (M, T), or of a sample of it that stands for the whole.

    Args:
        mel: as it was decoded.
        profile: the voice that it is to be given the statistics of.
        strength: as in `match`.
    """
    moments, wanted = active_moments(mel[None]), profile.mel_statistics
    if wanted is None or wanted.covariance is None or not strength:
        return SourceStatistics(moments, None)
    matched = with_moments(mel, wanted, strength, moments).numpy(force=True)
    return SourceStatistics(moments, covariance_match(matched, wanted.covariance, wanted.frames, strength))


def match(
    mel: Tensor, profile: SpeakerProfile, strength: float, own: SourceStatistics | None = None
) -> Tensor:
    """Give a mel the statistics of the voice, where they are known: (M, T) -> (M, T).

    Args:
        mel: converted.
        profile: the voice.
        strength: from 0, nothing, to 1, all of it.
        own: statistics of the whole, where the mel is a piece.
    """
    if profile.mel_statistics is None:
        return mel
    own = source_statistics(mel, profile, strength) if own is None else own
    matched = with_moments(mel, profile.mel_statistics, strength, own.moments)
    if own.covariance_match is None:
        return matched
    return torch.from_numpy(own.covariance_match(matched.numpy(force=True))).to(mel.device)


def with_moments(mel: Tensor, wanted: MelStatistics, strength: float, own: Moments | None = None) -> Tensor:
    """Give a mel the voice's mean and deviation of every bin: (M, T) -> (M, T).

    Args:
        mel: natural log.
        wanted: statistics of the voice.
        strength: as in `match`.
        own: moments of the whole, where the mel is a piece.
    """
    mean, deviation = (torch.as_tensor(x, device=mel.device)[None] for x in (wanted.mean, wanted.deviation))
    frames = torch.tensor([wanted.frames], device=mel.device)
    return match_moments(mel[None], mean, deviation, frames, strength=strength, own=own)[0]
