"""The autoencoder: content encoder, bottleneck, speaker encoder, pitch stream and decoder in one module."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from voiceae.dsp.statistics import active_moments, match_moments
from voiceae.models.bottlenecks import BottleneckOutput, BottleneckPart, Noise
from voiceae.models.decoders import DecoderInput, DecoderPart
from voiceae.models.encoders import ContentPart, SpeakerPart
from voiceae.models.pitch import MelPitch, NoPitch
from voiceae.models.timbre import NoTimbre, Timbre, TimbrePart
from voiceae.nn.layers import downsample_mask


@dataclass(frozen=True)
class Content:
    """Linguistic content and pitch of a recording, without its speaker.

    Attributes:
        features: (B, C, T') of the content encoder, before the bottleneck.
        bottlenecked: units (B, D, T'), codes, and the losses and figures of the bottleneck.
        pitch: (B, K, T) distribution over fundamentals, K = 0 without a pitch stream.
        pitch_centre: (B,) median fundamental, octaves above `f_low`.
        pitch_confidence: (B,) 0 to 1, reliability of the centre; None if not computed.
    """

    features: Tensor
    bottlenecked: BottleneckOutput
    pitch: Tensor
    pitch_centre: Tensor
    pitch_confidence: Tensor | None = None

    @property
    def units(self) -> Tensor:
        """Units for the decoder: (B, D, T')."""
        return self.bottlenecked.units

    @property
    def frames(self) -> int:
        """T, mel frames of the recording."""
        return int(self.pitch.shape[-1])


@dataclass(frozen=True)
class VoiceTraits:
    """Speaker characteristics of a reference recording.

    Attributes:
        speaker: (B, S) of unit length.
        pitch_centre: (B,) octaves.
        mel_mean: (B, M) per bin over the active frames, natural log.
        mel_deviation: (B, M), of the same frames.
        active_frames: (B,) how many those are.
        pitch_confidence: (B,) 0 to 1, reliability of the pitch centre; None if not computed.
        timbre: frames of it for the decoder to look up; None if not computed.
    """

    speaker: Tensor
    pitch_centre: Tensor
    mel_mean: Tensor
    mel_deviation: Tensor
    active_frames: Tensor
    pitch_confidence: Tensor | None = None
    timbre: Timbre | None = None


class Autoencoder(nn.Module):
    """Disentangling autoencoder over log-mels: (B, M, T) -> (B, M, T); it normalises the mels itself.

    Args:
        content: (B, M, T) -> (B, C, T').
        bottleneck: (B, C, T') -> `BottleneckOutput`.
        speaker: (B, M, T) -> (B, S).
        pitch: (B, M, T) -> (B, K, T), or `NoPitch`.
        decoder: `DecoderInput` -> (B, M, T).
        n_mels: M.
        timbre: (B, M, R), (B, C, R') -> `Timbre`; `NoTimbre` by default.
        matching: default strength in `convert` of matching the target's mel statistics, 0 to 1.

    Raises:
        ValueError: when the parts do not fit each other.
    """

    mel_mean: Tensor
    mel_deviation: Tensor

    def __init__(
        self,
        *,
        content: ContentPart,
        bottleneck: BottleneckPart,
        speaker: SpeakerPart,
        pitch: MelPitch | NoPitch,
        decoder: DecoderPart,
        n_mels: int,
        timbre: TimbrePart | None = None,
        matching: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= matching <= 1:
            raise ValueError(f"matching {matching}: must lie between 0 and 1")
        if decoder.pitch_bins != pitch.n_bins:
            raise ValueError(
                f"decoder takes {decoder.pitch_bins} pitch bins, the pitch stream gives {pitch.n_bins}"
            )
        if content.rate != decoder.rate:
            raise ValueError(
                f"content encoder works at 1/{content.rate}, decoder at 1/{decoder.rate} of the frame rate"
            )
        timbre = NoTimbre() if timbre is None else timbre
        if decoder.timbre_dim != timbre.dim:
            raise ValueError(
                f"decoder looks up tokens of {decoder.timbre_dim} numbers, timbre gives {timbre.dim}"
            )
        self.content, self.bottleneck, self.speaker, self.timbre = content, bottleneck, speaker, timbre
        self.pitch, self.decoder, self.matching = pitch, decoder, matching
        # Some published systems share parts: AutoVC's content encoder takes the speaker vector, AGAIN-VC's speaker
        # vector comes from the content encoder.
        content.join(speaker)
        speaker.join(content, bottleneck)
        self.register_buffer("mel_mean", torch.zeros(n_mels, 1))
        self.register_buffer("mel_deviation", torch.ones(n_mels, 1))

    @property
    def rate(self) -> int:
        """Mel frames per code frame."""
        return self.content.rate

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Per-bin statistics of the training mels: (M,), (M,)."""
        self.mel_mean.copy_(mean[:, None])
        self.mel_deviation.copy_(deviation[:, None])
        self.speaker.set_statistics(mean, deviation)

    def encode(
        self, mel: Tensor, mask: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Content:
        """Content of a mel (B, M, T), mask (B, T); in training the bottleneck draws noise from `generator`."""
        coded = self.content(self.normalise(mel), mask)
        bottlenecked = self.bottleneck(coded, downsample_mask(mask, self.rate), self.noise(coded, generator))
        return self.with_pitch_of(
            Content(coded, bottlenecked, mel[:, :0], mel.new_zeros(len(mel))), mel, mask
        )

    def noise(self, coded: Tensor, generator: torch.Generator | None = None) -> Noise:
        """Noise for the bottleneck in training, for features (B, C, T'); none in evaluation."""
        return self.bottleneck.draw_noise(coded, generator) if self.bottleneck.training else ()

    def with_pitch_of(self, content: Content, mel: Tensor, mask: Tensor | None = None) -> Content:
        """The same content, with the pitch of another mel of as many frames."""
        with torch.no_grad():  # nothing in the pitch stream is trained
            pitch = self.pitch(mel, mask)
            centre, sure = self.pitch.centre(pitch, mel, mask), self.pitch.confidence(pitch, mel, mask)
            return replace(content, pitch=pitch, pitch_centre=centre, pitch_confidence=sure)

    def embed(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Speaker vector of unit length: mel (B, M, T), mask (B, T) -> (B, S)."""
        embedded: Tensor = self.speaker(self.normalise(mel), mask)
        return embedded

    @torch.no_grad()
    def describe(self, mel: Tensor, mask: Tensor | None = None) -> VoiceTraits:
        """Speaker vector, pitch centre and mel statistics of a reference: mel (B, M, T), mask (B, T) -> traits."""
        pitch = self.pitch(mel, mask)
        centre, sure = self.pitch.centre(pitch, mel, mask), self.pitch.confidence(pitch, mel, mask)
        timbre = self.timbre_of(mel, mask)
        return VoiceTraits(self.embed(mel, mask), centre, *active_moments(mel, mask), sure, timbre)

    def timbre_of(self, mel: Tensor, mask: Tensor | None = None) -> Timbre:
        """Frames of a reference for the decoder to look up: mel (B, M, R), mask (B, R) -> tokens (B, R', E)."""
        normalised = self.normalise(mel)
        if not self.timbre.dim:
            return self.timbre(normalised, normalised[:, :0], mask)
        # What is said there is only looked for: the content encoder is not to learn from it to tell voices.
        with torch.no_grad():
            features = self.content(normalised, mask)
        return self.timbre(normalised, features, mask)

    def decode(
        self,
        content: Content,
        speaker: Tensor,
        *,
        timbre: Timbre | None = None,
        octaves: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Mel of content in the voice of a speaker (B, S): -> (B, M, T), exactly `content.frames` frames.

        Args:
            content: what `encode` gave.
            speaker: (B, S).
            timbre: of a reference, to look up; None to go by the speaker vector alone.
            octaves: (B,) pitch shift, none by default.
            mask: (B, T).
        """
        pitch = content.pitch if octaves is None else self.pitch.shift(content.pitch, octaves)
        harmonics = self.pitch.render(pitch)
        given = DecoderInput(content.units, speaker, pitch, harmonics, mask, timbre)
        return self.denormalise(self.decoder(given))

    def convert(self, mel: Tensor, target: VoiceTraits, *, matching: float | None = None) -> Tensor:
        """Source mel in the target's voice: (B, M, T) -> (B, M, T).

        Args:
            mel: of the source.
            target: what `describe` gave; the pitch is moved to its centre.
            matching: strength of matching the target's mel statistics, see `match_moments`; the model's own by default.
        """
        content = self.encode(mel)
        octaves = target.pitch_centre - content.pitch_centre
        converted = self.decode(content, target.speaker, timbre=target.timbre, octaves=octaves)
        strength = self.matching if matching is None else matching
        return match_moments(
            converted, target.mel_mean, target.mel_deviation, target.active_frames, strength=strength
        )

    def normalise(self, mel: Tensor) -> Tensor:
        """Normalise every bin by the training mels' statistics: (B, M, T) -> (B, M, T)."""
        return (mel - self.mel_mean) / self.mel_deviation

    def denormalise(self, mel: Tensor) -> Tensor:
        """Inverse of `normalise`, in float32: (B, M, T) -> (B, M, T)."""
        # Under autocast the decoder gives bfloat16, whose 8 bits would be steps of 0.06 nats at a log-mel of -8.
        return mel.float() * self.mel_deviation + self.mel_mean
