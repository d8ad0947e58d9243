"""Encoders, bottlenecks and the decoder, and the autoencoder that composes them."""

from voiceae.models.autoencoder import Autoencoder, Content, VoiceTraits
from voiceae.models.bottleneck import VQ, Bottlenecked, Gaussian, Open
from voiceae.models.content import ContentEncoder
from voiceae.models.decoder import Decoder
from voiceae.models.pitch import MelPitch, NoPitch
from voiceae.models.speaker import SpeakerEncoder

__all__ = [
    "VQ",
    "Autoencoder",
    "Bottlenecked",
    "Content",
    "ContentEncoder",
    "Decoder",
    "Gaussian",
    "MelPitch",
    "NoPitch",
    "Open",
    "SpeakerEncoder",
    "VoiceTraits",
]
