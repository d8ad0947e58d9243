"""What a `Voice` computes with: numpy arrays in and out, whatever library works in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.speaker_profile import Embedding, SpeakerProfile
from voiceae.specs import AudioSpec

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EncodedSpeech:
    """What is said and how high, without who says it.

    Attributes:
        units: (1, D, T') of the bottleneck.
        pitch: (1, K, T) distribution over fundamentals, K = 0 without a pitch stream.
        pitch_centre: median fundamental, octaves; None where there is none that can be relied on.
    """

    units: Floats
    pitch: Floats
    pitch_centre: float | None


class Backend(Protocol):
    """A model with its mel contract and vocoder, ready to run.

    Attributes:
        runtime: "torch" or "onnx".
        whole_seconds: a longer source does not go through the network whole.
        spec: the mel contract of model and vocoder.
        name: what messages call the model.
        fingerprint: of its weights; stored embeddings carry it.
        matching: how far a result is given the target's statistics by default, 0 to 1.
    """

    runtime: str
    whole_seconds: float
    spec: AudioSpec
    name: str
    fingerprint: str
    matching: float

    @property
    def embedding_size(self) -> int:
        """Numbers in a speaker embedding, S."""

    @property
    def timbre_dim(self) -> int:
        """Numbers in a timbre token, E; 0 for a model that looks up none."""

    @property
    def reads_pitch(self) -> bool:
        """Whether the model has a pitch stream."""

    def features(self, wav: Floats) -> Floats:
        """Log-mel of a wave, with frames up to its last sample: (N,) -> (M, T)."""

    def embed(self, mel: Floats) -> Embedding:
        """Speaker embedding of a reference: mel (M, T) -> (S,), unit length."""

    def describe(self, mel: Floats) -> SpeakerProfile:
        """All that a conversion needs of a reference, but for the covariance: mel (M, T) -> profile."""

    def encode(self, mel: Floats) -> EncodedSpeech:
        """What is said: mel (M, T) -> units and pitch."""

    def decode(self, speech: EncodedSpeech, profile: SpeakerProfile, matching: float) -> Floats:
        """Say it in a voice: -> mel (M, T).

        The pitch is moved to the profile's centre, where both are known; so far as `matching` says, the result is
        given the profile's mean and deviation of every mel bin.
        """

    def vocode(self, mel: Floats) -> Floats:
        """Log-mel to wave: (M, T) -> (T * hop_length,)."""
