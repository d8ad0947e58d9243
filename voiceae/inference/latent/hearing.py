"""What a model hears in a mel that is at hand already, such as one of a feature store."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from torch import Tensor

from voiceae.inference.cepstra import loud_covariance
from voiceae.inference.core import known_centre
from voiceae.inference.heard import Colour, Heard
from voiceae.inference.runtime import inference

if TYPE_CHECKING:
    from voiceae.inference.voice import Voice
    from voiceae.models import Content


def describe_mel(voice: Voice, mel: Tensor) -> Heard:
    """What `Voice.listen` hears of a recording with this mel: (M, T) ->."""
    with working(voice, mel.shape[-1]):
        traits = voice.model.describe(mel[None].to(voice.device))
    mean, deviation, speaker = (
        x[0].float().numpy(force=True) for x in (traits.mel_mean, traits.mel_deviation, traits.speaker)
    )
    colour = Colour(
        mean, deviation, float(traits.loud_frames[0]), loud_covariance(mel.float().numpy(force=True))
    )
    centre = known_centre(traits)
    return Heard(speaker, None if math.isnan(centre) else centre, colour)


def encode_mel(voice: Voice, mel: Tensor) -> Content:
    """What `Voice.encode` hears in a recording with this mel: (M, T) -> units (1, D, T')."""
    with working(voice, mel.shape[-1]):
        return voice.model.encode(mel[None].to(voice.device))


def working(voice: Voice, frames: int) -> AbstractContextManager[None]:
    """Inference on so many frames, with threads that fit the work."""
    return inference(voice.device, 2e-9 * voice.parameters * frames)


def bins_per_octave(voice: Voice) -> int:
    """Of the grid that a model reads pitches on; 1 for a model that reads none."""
    return int(getattr(voice.model.pitch, "bins_per_octave", 1))
