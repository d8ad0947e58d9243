"""Encoders, bottlenecks and the decoder, and the autoencoder that composes them."""

from voiceae.models.again_vc import (
    AgainVCDecoder,
    AgainVCEncoder,
    InstanceStatisticsSpeaker,
    SigmoidBottleneck,
)
from voiceae.models.autoencoder import Autoencoder, Content, VoiceTraits
from voiceae.models.autovc import AutoVCDecoder, AutoVCEncoder
from voiceae.models.bottlenecks import VQ, Bottlenecked, Discrete, GaussianBottleneck, LinearBottleneck
from voiceae.models.decoders import Decoder, ResidualDecoder, StackedContent, StackedDecoder
from voiceae.models.discrete_bottlenecks import Binary, OneHot
from voiceae.models.encoders import ContentEncoder, PretrainedSpeaker, SpeakerEncoder, SpeakerTable
from voiceae.models.pitch import MelPitch, NoPitch

__all__ = [
    "VQ",
    "AgainVCDecoder",
    "AgainVCEncoder",
    "AutoVCDecoder",
    "AutoVCEncoder",
    "Autoencoder",
    "Binary",
    "Bottlenecked",
    "Content",
    "ContentEncoder",
    "Decoder",
    "Discrete",
    "GaussianBottleneck",
    "InstanceStatisticsSpeaker",
    "LinearBottleneck",
    "MelPitch",
    "NoPitch",
    "OneHot",
    "PretrainedSpeaker",
    "ResidualDecoder",
    "SigmoidBottleneck",
    "SpeakerEncoder",
    "SpeakerTable",
    "StackedContent",
    "StackedDecoder",
    "VoiceTraits",
]
