"""The two steps between content and a finished mel that depend on the target speaker: pitch and statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE
from voiceae.dsp.covariance_matching import CovarianceMatch, covariance_match
from voiceae.dsp.statistics import active_moments, match_moments
from voiceae.models import Autoencoder, Content, VoiceTraits

if TYPE_CHECKING:
    from voiceae.dsp.mel import LogMel
    from voiceae.vocoders.base import Vocoder


@dataclass(frozen=True)
class Engine:
    """The parts of a voice that compute.

    Attributes:
        model: the network.
        transform: wave -> log-mel.
        vocoder: log-mel -> wave.
    """

    model: Autoencoder
    transform: LogMel
    vocoder: Vocoder


LoudMoments = tuple[Tensor, Tensor, Tensor]
"""What `active_moments` gives: mean and deviation (1, M) and number (1,) of loud frames."""


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
    speaker = torch.as_tensor(profile.embedding, device=device)[None]
    octaves = None
    own = known_centre(content) if centre is None else centre
    if profile.pitch_centre is not None and not math.isnan(own):
        octaves = torch.full_like(content.pitch_centre, profile.pitch_centre - own)
    return model.decode(content, speaker, octaves=octaves)[0]


def known_centre(content: Content | VoiceTraits) -> float:
    """Where the pitch of one recording is, octaves; NaN where it has none that can be relied on."""
    sure = getattr(content, "pitch_confidence", None)
    return (
        float(content.pitch_centre[0]) if sure is None or float(sure[0]) >= MIN_PITCH_CONFIDENCE else math.nan
    )


@dataclass(frozen=True)
class SourceStatistics:
    """What a converted mel is like as a whole, and what follows from that for each of its pieces.

    Attributes:
        moments: of it.
        covariance_match: brings it to the target's covariance after its moments were matched; None where it does not.
    """

    moments: LoudMoments
    covariance_match: CovarianceMatch | None


def source_statistics(mel: Tensor, profile: SpeakerProfile, strength: float) -> SourceStatistics:
    """Statistics of a converted mel (M, T), or of a sample of it that stands for the whole.

    Args:
        mel: as it was decoded.
        profile: the voice that it is to be given the statistics of.
        strength: as in `match`.
    """
    moments, colour = active_moments(mel[None]), profile.mel_statistics
    if colour is None:
        return SourceStatistics(moments, None)
    return SourceStatistics(moments, _reshaping(_matched(mel, colour, strength, moments), colour, strength))


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
    moments = active_moments(mel[None]) if own is None else own.moments
    matched = _matched(mel, profile.mel_statistics, strength, moments)
    change = _reshaping(matched, profile.mel_statistics, strength) if own is None else own.covariance_match
    return matched if change is None else torch.from_numpy(change(matched.numpy(force=True))).to(mel.device)


def _matched(mel: Tensor, colour: MelStatistics, strength: float, own: LoudMoments) -> Tensor:
    """(M, T) -> (M, T) with the mean and the deviation of the voice."""
    mean, deviation = (torch.as_tensor(x, device=mel.device)[None] for x in (colour.mean, colour.deviation))
    frames = torch.tensor([colour.frames], device=mel.device)
    return match_moments(mel[None], mean, deviation, frames, strength=strength, own=own)[0]


def _reshaping(matched: Tensor, colour: MelStatistics, strength: float) -> CovarianceMatch | None:
    """What gives a mel with the voice's moments (M, T) its covariance too; None where that is not known or wanted."""
    if colour.covariance is None or not strength:
        return None
    return covariance_match(matched.numpy(force=True), colour.covariance, colour.frames, strength)
