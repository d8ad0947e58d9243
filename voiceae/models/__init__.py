"""Encoders, bottlenecks and the decoder, and the autoencoder that composes them."""

from voiceae.models.again_vc import (
    AgainVCDecoder,
    AgainVCEncoder,
    InstanceStatisticsSpeaker,
    SigmoidBottleneck,
)
from voiceae.models.autoencoder import Autoencoder, Content, VoiceTraits
from voiceae.models.autovc import AutoVCDecoder, AutoVCEncoder
from voiceae.models.bottlenecks import (
    VQ,
    BottleneckOutput,
    DiscreteBottleneck,
    GaussianBottleneck,
    LinearBottleneck,
)
from voiceae.models.decoders import Decoder, DecoderInput, StackedDecoder
from voiceae.models.discrete_bottlenecks import BinaryBottleneck, OneHotBottleneck
from voiceae.models.encoders import (
    ContentEncoder,
    PretrainedSpeaker,
    SpeakerEncoder,
    SpeakerTable,
    StackedContent,
)
from voiceae.models.multitarget import ResidualDecoder
from voiceae.models.pitch import MelPitch, NoPitch
from voiceae.models.timbre import NoTimbre, Timbre, TimbreEncoder

__all__ = [
    "VQ",
    "AgainVCDecoder",
    "AgainVCEncoder",
    "AutoVCDecoder",
    "AutoVCEncoder",
    "Autoencoder",
    "BinaryBottleneck",
    "BottleneckOutput",
    "Content",
    "ContentEncoder",
    "Decoder",
    "DecoderInput",
    "DiscreteBottleneck",
    "GaussianBottleneck",
    "InstanceStatisticsSpeaker",
    "LinearBottleneck",
    "MelPitch",
    "NoPitch",
    "NoTimbre",
    "OneHotBottleneck",
    "PretrainedSpeaker",
    "ResidualDecoder",
    "SigmoidBottleneck",
    "SpeakerEncoder",
    "SpeakerTable",
    "StackedContent",
    "StackedDecoder",
    "Timbre",
    "TimbreEncoder",
    "VoiceTraits",
]
