"""`PortableVoice`: what `Voice` does in a conversion, without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.arguments import as_mel, as_source, as_strength, finite, name_of
from voiceae.conversion.backends.sessions import Export
from voiceae.conversion.reference_quality import (
    ReferenceQuality,
    agreement,
    measure,
    stretches,
    warn_of_reference,
)
from voiceae.conversion.speaker_profile import Embedding, MelStatistics, SpeakerProfile
from voiceae.conversion.targets import as_targets, known_voice
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE, pitch_confidence
from voiceae.dsp.covariance_matching import active_covariance, covariance_match
from voiceae.dsp.loudness import NormalisedWave, SilenceEnvelope, normalise, restore_level
from voiceae.errors import AudioError, OutputError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.io.filesystem import as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceae.conversion.backends.onnx_vocoders import PortableVocoder
    from voiceae.conversion.targets import Source, Target

Floats = NDArray[np.float32]

SOURCE_SECONDS, TARGET_SECONDS = 0.1, 0.5
LONGEST_SECONDS = 1800.0
"""Recordings go through the network whole, at some 0.2 MB a second."""


class PortableVoice:
    """An exported model that is ready to convert.

    Args:
        export: of kind "autoencoder".
        vocoder: of the same mel contract.

    Raises:
        SpecMismatchError: when the vocoder has another mel contract.
    """

    def __init__(self, *, export: Export, vocoder: PortableVocoder) -> None:
        manifest = export.manifest
        manifest.spec.require_same(vocoder.spec, ours="model", theirs="vocoder")
        self.spec, self.name, self.fingerprint = manifest.spec, manifest.name, manifest.checksum
        self.vocoder = vocoder
        self.embedding_size = int(manifest.values["embedding_size"])
        self._matching = float(manifest.values["matching"])
        self._export = export
        self._reads_pitch = True  # until the network has said otherwise

    def convert(
        self, source: Source, target: Target, *, matching: float | None = None, progress: bool = False
    ) -> Audio:
        """Say what `source` says in the voice of `target`: -> wav (N,), as `Voice.convert` does.

        Args:
            source: the sentence, 0.1 s to half an hour.
            target: the voice, at least 0.5 s of it; several are averaged.
            matching: how far the result is given the target's mel statistics, 0 to 1; the model's own default
                otherwise.
            progress: taken and ignored; nothing here is cut into pieces.

        Raises:
            AudioError: for audio that is missing, damaged, silent, too short or too long.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        whole = as_source(source)
        matching = as_strength(matching, self._matching)
        profile = self.profile(target)
        levelled = self._levelled(whole, SOURCE_SECONDS, "a source")
        mel = self.convert_mel(self._mel(levelled.wav), profile, matching)
        wav = finite(self.vocoder(mel))[: len(levelled.wav)]
        rate = self.spec.sample_rate
        wav = SilenceEnvelope.from_wave(levelled.wav, rate).apply(restore_level(wav, levelled, rate))
        return Audio(wav=wav, sample_rate=rate)

    def convert_file(
        self, source: Source, target: Target, out: str | Path, *, force: bool = False, progress: bool = False
    ) -> None:
        """Convert into a file, which appears only when it is complete.

        Raises:
            VoiceAEError: as `convert`, or when the file cannot be written.
        """
        out = as_path(out, "out", OutputError)
        audio_io.write(out, self.convert(source, target, progress=progress), force=force)

    def embed(self, source: Target) -> Embedding:
        """Speaker embedding: -> (S,), unit length.

        Raises:
            AudioError: for audio that is missing, damaged, silent, shorter than 0.5 s or too long.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        return self.profile(source).embedding

    def profile(self, target: Target) -> SpeakerProfile:
        """All that the model takes from a target, for use with many sources.

        Raises:
            AudioError: for audio that is missing, damaged, silent, shorter than 0.5 s or too long.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        known = known_voice(target, self.profile, self.fingerprint, (self.embedding_size, self.spec.n_mels))
        if known is not None:
            return known
        given = as_source(target, "a target")
        profile, quality = self._reference(given)
        warn_of_reference(name_of(given), quality, profile.pitch_centre is not None or not self._reads_pitch)
        return profile

    def quality(self, target: Source) -> ReferenceQuality:
        """How good a recording is as a target, see `Voice.quality`.

        Raises:
            AudioError: for audio that is missing, damaged, silent, shorter than 0.5 s or too long.
        """
        return self._reference(as_source(target, "a target"))[1]

    def mix(self, targets: Sequence[Target], weights: Sequence[float]) -> SpeakerProfile:
        """A voice between voices, itself a target.

        Raises:
            EmbeddingError: when numbers and targets do not match, or cancel out.
        """
        return SpeakerProfile.mean([self.profile(each) for each in as_targets(targets)], weights)

    def mel(self, source: Source, min_seconds: float = SOURCE_SECONDS, what: str = "a source") -> Floats:
        """Log-mel as the model hears it, at the common level: -> (M, T).

        Raises:
            AudioError: for audio that is missing, damaged, silent, too short or too long.
        """
        return self._mel(self._levelled(as_source(source, what), min_seconds, what).wav)

    def convert_mel(self, mel: Floats, profile: SpeakerProfile, matching: float | None = None) -> Floats:
        """A mel in a voice, with the voice's statistics: (M, T) -> (M, T)."""
        colour = profile.mel_statistics or MelStatistics(
            np.zeros(len(mel), np.float32), np.ones(len(mel), np.float32), 0.0
        )
        mel = as_mel(mel, self.spec.n_mels)
        strength = as_strength(matching, self._matching)
        profile = self.profile(profile)
        units, pitch, centre = self._export.run("encode", mel=mel[None])
        octaves = 0.0
        if profile.pitch_centre is not None and pitch_confidence(pitch[0], mel) >= MIN_PITCH_CONFIDENCE:
            octaves = profile.pitch_centre - float(centre[0])
        matched: Floats = self._export.run(
            "decode",
            units=units,
            pitch=pitch,
            speaker=profile.embedding[None],
            octaves=np.array([octaves], np.float32),
            mean=colour.mean[None],
            deviation=colour.deviation[None],
            frames=np.array([colour.frames], np.float32),
            strength=np.array(strength if profile.mel_statistics else 0.0, np.float32),
        )[0][0]
        if colour.covariance is None or not strength:
            return matched
        return covariance_match(matched, colour.covariance, colour.frames, strength)(matched)

    def _reference(self, target: Path | Audio) -> tuple[SpeakerProfile, ReferenceQuality]:
        """What is heard of a recording, and how good it is; its pitch is known only where both say so."""
        levelled = self._levelled(target, TARGET_SECONDS, "a target")
        mel = self._mel(levelled.wav)
        profile = self._listen(mel)
        parts = stretches(mel.shape[-1], self.spec.frame_rate)
        vectors = [self._export.run("describe", mel=mel[None, :, start:stop])[0][0] for start, stop in parts]
        measured = measure(levelled.wav, self.spec.sample_rate, levelled.gain_db)
        quality = replace(measured, agreement=agreement(vectors))
        return profile if quality.has_pitch else replace(profile, pitch_centre=None), quality

    def _listen(self, mel: Floats) -> SpeakerProfile:
        speaker, centre, mean, deviation, loud = self._export.run("describe", mel=mel[None])
        colour = MelStatistics(mean[0], deviation[0], float(loud[0]), active_covariance(mel))
        _, pitch, _ = self._export.run("encode", mel=mel[None])
        self._reads_pitch = bool(pitch.shape[1])
        sure = pitch_confidence(pitch[0], mel) >= MIN_PITCH_CONFIDENCE
        return SpeakerProfile(speaker[0], float(centre[0]) if sure else None, colour)

    def _mel(self, wav: Floats) -> Floats:
        """(N,) -> (M, T), with frames up to the last sample."""
        return self._export.run("features", wav=np.pad(wav, (0, self.spec.pad_to_hop(len(wav)))))[0][0]

    def _levelled(self, source: Path | Audio, min_seconds: float, what: str) -> NormalisedWave:
        """Audio at the model's rate and the common level."""
        audio = audio_io.load(source, self.spec.sample_rate, min_seconds=min_seconds, what=what)
        if audio.seconds > LONGEST_SECONDS:
            raise AudioError(
                f"{name_of(source)}: {audio.seconds:.0f} s of audio; runtime onnx takes {what} of at most "
                f"{LONGEST_SECONDS:.0f} s; use --runtime torch"
            )
        return normalise(audio.wav, self.spec.sample_rate)
