"""`Voice`: a loaded model with its mel contract and vocoder, and everything one does with a voice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.arguments import (
    Source,
    Target,
    as_mel,
    as_number,
    as_targets,
    first_recording,
    known_voice,
)
from voiceae.conversion.reference_quality import (
    ReferenceQuality,
    comparison_spans,
    covering_spans,
    measure_quality,
    warn_of_reference,
)
from voiceae.conversion.speaker_profile import Embedding, SpeakerProfile
from voiceae.dsp.loudness import (
    LevelCorrection,
    LevelMeter,
    NormalisedWave,
    SilenceEnvelope,
    normalise,
    restore_level,
)
from voiceae.dsp.statistics import active_covariance, match_covariance
from voiceae.errors import AudioError, ConfigError, OutputError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio, as_source, header_seconds, name_of
from voiceae.io.filesystem import as_path, atomic_path, require_new
from voiceae.io.writer import block_writer, require_format
from voiceae.specs import MIN_SOURCE_SECONDS, MIN_TARGET_SECONDS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from voiceae.conversion.backends.base import Backend, Floats
    from voiceae.conversion.backends.torch import TorchBackend
    from voiceae.conversion.chunked import ChunkOptions
    from voiceae.conversion.streaming.stream import Stream, StreamOptions
    from voiceae.models import Autoencoder, Content
    from voiceae.vocoders.base import Vocoder

INITIAL_STATISTICS_SECONDS = 60.0
"""Of a recording that a stream begins with."""
_SCRATCH_BYTES = 1 << 20  # of a converted wave that are held at once when its level is corrected


class Voice:
    """A model that is ready to convert.

    Its methods may be called from several threads at once. Torch computes with as many threads as the program has given
    it; for short clips beside other work `torch.set_num_threads(1)` is quickest, as the commands do it by themselves.

    What is whole goes through any backend. Streams, chunks, and tensors between the steps are torch's.

    Args:
        backend: model, mel contract and vocoder, on torch or onnxruntime.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.spec, self.name, self.fingerprint = backend.spec, backend.name, backend.fingerprint

    @property
    def embedding_size(self) -> int:
        """Numbers in a speaker embedding, S."""
        return self.backend.embedding_size

    @property
    def torch_backend(self) -> TorchBackend:
        """The backend, which must be torch's.

        Raises:
            ConfigError: when it is another.
        """
        if self.backend.runtime == "torch":
            from voiceae.conversion.backends.torch import TorchBackend

            if isinstance(self.backend, TorchBackend):
                return self.backend
        raise ConfigError(
            f"runtime {self.backend.runtime} converts whole recordings, and nothing else; use --runtime torch"
        )

    @property
    def model(self) -> Autoencoder:
        """The network, on torch."""
        return self.torch_backend.model

    @property
    def vocoder(self) -> Vocoder:
        """The vocoder, on torch."""
        return self.torch_backend.vocoder

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.torch_backend.device

    @property
    def parameters(self) -> int:
        """Numbers that the network has learned."""
        return self.torch_backend.parameters

    def convert(
        self,
        source: Source,
        target: Target,
        *,
        matching: float | None = None,
        chunks: ChunkOptions | None = None,
        progress: bool = False,
    ) -> Audio:
        """Say what `source` says in the voice of `target`: -> wav (N,).

        The result is at the model's rate, lasts as long as the source, and is as loud.

        Args:
            source: the sentence, at least 0.1 s.
            target: the voice, at least 0.5 s of it; several are averaged, and each gives frames to look up.
            matching: how far the result is given the target's mel statistics, 0 to 1; the model's own default
                otherwise.
            chunks: how to cut the source; by default it is converted whole up to five minutes.
            progress: show a bar for a source that is cut.

        Raises:
            AudioError: for audio that is missing, damaged, silent or too short.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        backend, rate = self.backend, self.spec.sample_rate
        source, strength = as_source(source), self._strength(matching)
        profile = self.profile(target)
        if chunks is not None or self._is_long(source):
            parts: list[Floats] = []
            level = self._convert_long(source, profile, (strength, chunks, progress), parts.append)
            return Audio(wav=level.apply(np.concatenate(parts)), sample_rate=rate)

        levelled = self._levelled(source, MIN_SOURCE_SECONDS, "a source")
        speech = backend.encode(backend.features(levelled.wav))
        # The decoder says it at the voice's pitch, and with its mean and deviation of every mel bin; how the bins vary
        # together is matched here.
        mel = backend.decode(speech, profile, strength)
        if profile.mel_statistics is not None:
            wanted = profile.mel_statistics
            mel = match_covariance(mel, wanted.covariance, wanted.frames, strength)
        wav = self._vocode(mel)[: len(levelled.wav)]
        # As loud as the source was, and as silent in its pauses, which a vocoder fills with breath.
        wav = SilenceEnvelope.from_wave(levelled.wav, rate).apply(restore_level(wav, levelled, rate))
        return Audio(wav=wav, sample_rate=rate)

    def convert_file(
        self,
        source: Source,
        target: Target,
        out: str | Path,
        *,
        force: bool = False,
        matching: float | None = None,
        chunks: ChunkOptions | None = None,
        progress: bool = False,
    ) -> None:
        """Convert into a file, which appears only when it is complete.

        A source that is cut into chunks is read, converted and written in chunks: memory does not grow with its
        length. The wave waits in an unnamed file beside `out`, 4 bytes a sample, until its level is known.

        Args:
            source: as for `convert`.
            target: likewise.
            out: its suffix chooses the format.
            force: overwrite an existing file.
            matching: as for `convert`.
            chunks: likewise.
            progress: likewise.

        Raises:
            AudioError: as `convert`.
            EmbeddingError: likewise.
            OutputError: for an existing file, an unknown suffix, or a full disk.
        """
        out, source = as_path(out, "out", OutputError), as_source(source)
        strength = self._strength(matching)
        if chunks is None and not self._is_long(source):
            return audio_io.write(out, self.convert(source, target, matching=strength), force=force)
        require_format(out)
        require_new(out, force)
        profile = self.profile(target)
        with atomic_path(out) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as scratch:

            def keep(block: NDArray[np.float32]) -> None:
                scratch.write(block.tobytes())

            level, start = self._convert_long(source, profile, (strength, chunks, progress), keep), 0
            scratch.seek(0)
            with block_writer(temporary, self.spec.sample_rate, out) as append:
                while data := scratch.read(_SCRATCH_BYTES):
                    block = np.frombuffer(data, np.float32)
                    append(level.apply(block, start))
                    start += len(block)

    def stream(
        self,
        target: Target,
        *,
        source_sample: Source | None = None,
        matching: float | None = None,
        options: StreamOptions | None = None,
    ) -> Stream:
        """Convert while the source is still being spoken: push samples, get samples.

        Args:
            target: as for `convert`.
            source_sample: a recording of whoever will speak, which gives their pitch and level from the first word on.
                Without it these are learned within seconds; what speech does to the network's norms is then taken from
                the target, where that is a recording.
            matching: as for `convert`.
            options: delay against quality.

        Raises:
            AudioError: for recordings that are missing, damaged, silent or too short.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        from voiceae.conversion.streaming.stream import InitialStatistics, Stream, StreamOptions

        backend, strength = self.torch_backend, self._strength(matching)
        if not isinstance(options, StreamOptions | None):
            raise ConfigError(f"options: a value of type {type(options).__name__}; give StreamOptions")
        profile, initial = self.profile(target), None
        known = source_sample if source_sample is not None else first_recording(target)
        if known is not None:
            mel = self.mel(known)[:, : self.spec.seconds_to_frames(INITIAL_STATISTICS_SECONDS)]
            with backend.inference(mel.shape[-1]):
                initial = InitialStatistics.measure(
                    backend.model, mel, profile, of_source=source_sample is not None
                )
        return Stream(backend, profile, strength, options or StreamOptions(), initial)

    def embed(self, source: Target) -> Embedding:
        """Speaker embedding: -> (S,), unit length.

        Args:
            source: whatever `convert` takes as a target.

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.5 s.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        return self.profile(source).embedding

    def profile(self, target: Target) -> SpeakerProfile:
        """All that the model takes from a target, for use with many sources.

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.5 s.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        known = known_voice(target, self.profile, self.backend)
        if known is not None:
            return known
        given = as_source(target, "a target")
        profile, quality = self._reference(given)
        pitch = profile.pitch_centre is not None or not self.backend.reads_pitch
        warn_of_reference(name_of(given), quality, pitch)
        return profile

    def quality(self, target: Source) -> ReferenceQuality:
        """How good a recording is as a target: noise, clipping, bandwidth, pitch, and whether it is one voice.

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.5 s.
        """
        return self._reference(as_source(target, "a target"))[1]

    def mix(
        self, targets: Sequence[Target], weights: Sequence[float], *, spherical: bool = False
    ) -> SpeakerProfile:
        """A voice between voices, itself a target.

        Args:
            targets: whatever `convert` takes as a target.
            weights: one number each; a negative one leads away from that voice.
            spherical: go along the sphere that speaker vectors lie on rather than straight through it.

        Raises:
            EmbeddingError: when numbers and targets do not match, or cancel out.
        """
        profiles = [self.profile(each) for each in as_targets(targets)]
        return SpeakerProfile.mean(profiles, weights, spherical=spherical)

    def mel(self, source: Source) -> Tensor:
        """Log-mel as the model hears it, at the common level: -> (M, T).

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.1 s.
        """
        levelled = self._levelled(as_source(source), MIN_SOURCE_SECONDS, "a source")
        with self.torch_backend.inference(0):
            return self.torch_backend.tensor(self.backend.features(levelled.wav))

    def encode(self, source: Source) -> Content:
        """What is said, without who says it: -> units (1, D, T').

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.1 s.
        """
        return self.encode_mel(self.mel(source))

    def encode_mel(self, mel: Tensor) -> Content:
        """Content of a log-mel, as `encode` gives that of a recording: (M, T) -> units (1, D, T')."""
        with self.torch_backend.inference(mel.shape[-1]):
            return self.model.encode(mel[None].to(self.device))

    def describe_mel(self, mel: Floats) -> SpeakerProfile:
        """Profile of a log-mel, as `profile` gives that of a short recording: (M, T) ->."""
        profile = self.backend.describe(np.ascontiguousarray(mel))
        assert profile.mel_statistics is not None
        statistics = replace(profile.mel_statistics, covariance=active_covariance(mel))
        return replace(profile, mel_statistics=statistics)

    def decode(self, content: Content, speaker: Target, *, matching: float | None = None) -> Tensor:
        """Let a speaker say a content: -> mel (M, T).

        Args:
            content: from `encode`.
            speaker: whatever `convert` takes as a target.
            matching: as in `convert`.
        """
        from voiceae.conversion.backends.torch import decode, match

        strength, profile = self._strength(matching), self.profile(speaker)
        if not hasattr(content, "units") and not hasattr(content, "frames"):
            raise ConfigError(f"content: a value of type {type(content).__name__}; give what `encode` gave")
        with self.torch_backend.inference(content.frames):
            return match(decode(self.model, content, profile), profile, strength)

    def synthesise(self, mel: Tensor | NDArray[np.float32]) -> Audio:
        """Let the vocoder speak a mel: (M, T) -> wav (N,).

        Raises:
            AudioError: for another shape.
        """
        return Audio(wav=self._vocode(as_mel(mel, self.spec.n_mels)), sample_rate=self.spec.sample_rate)

    def _is_long(self, source: Path | Audio) -> bool:
        return header_seconds(source) > self.backend.whole_seconds

    def _convert_long(
        self,
        source: Path | Audio,
        profile: SpeakerProfile,
        options: tuple[float, ChunkOptions | None, bool],
        keep: Callable[[Floats], object],
    ) -> LevelCorrection:
        """Convert in chunks, each handed to `keep` at some level; returns what makes them as loud as the source."""
        if self.backend.runtime != "torch":
            raise AudioError(
                f"{name_of(source)}: {header_seconds(source):.0f} s of audio; runtime {self.backend.runtime} takes a "
                f"source of at most {self.backend.whole_seconds:.0f} s, whole; use --runtime torch"
            )
        from tqdm import tqdm

        from voiceae.conversion.chunked import ChunkedConversion

        (strength, chunks, progress), rate = options, self.spec.sample_rate
        met = LevelMeter(rate)
        with self.torch_backend.inference(0):
            conversion = ChunkedConversion(
                self.torch_backend,
                lambda: audio_io.blocks(source, rate, min_seconds=MIN_SOURCE_SECONDS, what="a source"),
                profile,
                strength,
                chunks,
            )
            seconds, silence = conversion.level.samples / rate, SilenceEnvelope.from_meter(conversion.level)
            with tqdm(total=round(seconds), desc="convert", unit="s", disable=not progress) as bar:
                for block in conversion.blocks():
                    keep(silence.apply(block, met.samples))
                    met.update(block)
                    bar.update(round(met.samples / rate) - bar.n)
        return LevelCorrection.from_meters(conversion.level, met)

    def _reference(self, target: Path | Audio) -> tuple[SpeakerProfile, ReferenceQuality]:
        """Profile of a recording, and how good it is; its pitch is known only where both say so."""
        levelled = self._levelled(target, MIN_TARGET_SECONDS, "a target")
        mel = self.backend.features(levelled.wav)
        pieces = covering_spans(mel.shape[1], self.spec.frame_rate)
        profile = SpeakerProfile.mean([self.describe_mel(mel[:, start:stop]) for start, stop in pieces])
        vectors = [
            self.backend.embed(mel[:, start:stop])
            for start, stop in comparison_spans(mel.shape[1], self.spec.frame_rate)
        ]
        quality = measure_quality(levelled.wav, self.spec.sample_rate, levelled.gain_db, vectors)
        return profile if quality.has_pitch else replace(profile, pitch_centre=None), quality

    def _strength(self, matching: float | None) -> float:
        """Strength of statistics matching, 0 to 1; the model's own for None."""
        number = self.backend.matching if matching is None else as_number(matching, "matching")
        if not 0 <= number <= 1:
            raise ConfigError(f"matching {matching}: give a number from 0 to 1")
        return number

    def _vocode(self, mel: Floats) -> Floats:
        """Log-mel to wave, if that is finite: (M, T) -> (T * hop_length,)."""
        wav = self.backend.vocode(mel)
        if not np.isfinite(wav).all():
            raise AudioError(
                "the vocoder gave samples that are NaN or infinite: its mel is not one of speech"
            )
        return wav

    def _levelled(self, source: Path | Audio, min_seconds: float, what: str) -> NormalisedWave:
        """Audio at the model's rate and the common level."""
        audio = audio_io.load(source, self.spec.sample_rate, min_seconds=min_seconds, what=what)
        return normalise(audio.wav, self.spec.sample_rate)


def load(
    name_or_path: str | Path = "base", vocoder: str | Path = "default", device: str | torch.device = "auto"
) -> Voice:
    """Load a voice model, ready to convert.

    Args:
        name_or_path: a bundled name or a model file.
        vocoder: "griffinlim", a bundled name, a vocoder file or a HiFi-GAN folder; by default the best here.
        device: "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ModelFileError: when the model is missing, damaged, foreign or from a newer format.
        VocoderError: when the vocoder cannot be loaded.
        SpecMismatchError: when model and vocoder do not share one mel.
        ConfigError: for a device that this machine does not have.
    """
    from voiceae.conversion.backends.torch import load_backend

    return Voice(load_backend(name_or_path, vocoder, device))
