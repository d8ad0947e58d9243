"""`Voice`: a loaded model with its mel contract and vocoder, and everything one does with a voice."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from voiceae.assets import find_model, find_vocoder
from voiceae.conversion.arguments import as_mel, as_source, as_strength, finite, name_of
from voiceae.conversion.chunked import ChunkedConversion, ChunkOptions, spans, whole_hops
from voiceae.conversion.reference_quality import (
    ReferenceQuality,
    agreement,
    measure,
    stretches,
    warn_of_reference,
)
from voiceae.conversion.speaker_profile import Embedding, MelStatistics, SpeakerProfile
from voiceae.conversion.statistics_matching import Engine, decode, known_centre, match
from voiceae.conversion.targets import Source, Target, as_targets, first_recording, known_voice
from voiceae.dsp.covariance_matching import active_covariance
from voiceae.dsp.loudness import (
    LevelCorrection,
    LevelMeter,
    NormalisedWave,
    SilenceEnvelope,
    normalise,
    restore_level,
)
from voiceae.dsp.mel import LogMel
from voiceae.errors import ConfigError, OutputError
from voiceae.hardware import inference, resolve_device
from voiceae.io import audio as audio_io
from voiceae.io import modelfile
from voiceae.io.audio import Audio, header_seconds
from voiceae.io.filesystem import as_path, atomic_path, require_new
from voiceae.io.writer import block_writer
from voiceae.specs import AudioSpec

if TYPE_CHECKING:
    from voiceae.conversion.streaming.stream import Stream, StreamOptions
    from voiceae.models import Autoencoder, Content
    from voiceae.vocoders.base import Vocoder

SOURCE_SECONDS = 0.1
TARGET_SECONDS = 0.5
WHOLE_SECONDS = 300.0
"""A source that lasts no longer is converted whole, a longer one in chunks."""
PIECE_SECONDS = 300.0
"""Of a target; what is heard of each chunk is averaged."""
OVERLAP_SECONDS = 1.0
PRIOR_SECONDS = 60.0
"""Of a recording that a stream begins with."""

_SCRATCH_BYTES = 1 << 20
_VOCODER_GFLOP_PER_SECOND = 0.5  # 32 iterations of Griffin-Lim; a network states its own


class Voice:
    """A model that is ready to convert.

    Its methods may be called from several threads at once. Torch computes with as many threads as the program has given
    it; for short clips beside other work `torch.set_num_threads(1)` is quickest, as the commands do it by themselves.

    Args:
        model: the autoencoder, in eval mode on its device.
        spec: its mel contract.
        vocoder: of the same contract, on the same device.
        name: what to call it in messages.
        fingerprint: of the weights; stored embeddings carry it. Computed when empty.

    Raises:
        SpecMismatchError: when the vocoder has another mel contract.
    """

    def __init__(
        self, *, model: Autoencoder, spec: AudioSpec, vocoder: Vocoder, name: str = "", fingerprint: str = ""
    ) -> None:
        spec.require_same(vocoder.spec, ours="model", theirs="vocoder")
        self.model, self.spec, self.vocoder, self.name = model, spec, vocoder, name
        self.fingerprint = fingerprint or modelfile.checksum(model.state_dict())
        self.device = next((weight.device for weight in model.state_dict().values()), torch.device("cpu"))
        self.parameters = sum(weight.numel() for weight in model.parameters())
        self._transform = LogMel(spec).to(self.device)

    @cached_property
    def embedding_size(self) -> int:
        """Numbers in a speaker embedding, S."""
        with self._inference(1):
            return self.model.embed(torch.zeros(1, self.spec.n_mels, 1, device=self.device)).shape[-1]

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
            target: the voice, at least 0.5 s of it; several are averaged.
            matching: how far the result is given the target's mel statistics, 0 to 1; the model's own default
                otherwise.
            chunks: how to cut the source; by default it is converted whole up to five minutes.
            progress: show a bar for a source that is cut.

        Raises:
            AudioError: for audio that is missing, damaged, silent or too short.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        rate, source = self.spec.sample_rate, as_source(source)
        matching = self._strength(matching)
        profile = self.profile(target)
        if chunks is not None or self._is_long(source):
            parts: list[NDArray[np.float32]] = []
            level = self._convert_long(source, profile, (matching, chunks, progress), parts.append)
            return Audio(wav=level.apply(np.concatenate(parts)), sample_rate=rate)
        levelled = self._levelled(source, SOURCE_SECONDS, "a source")
        mel = self._mel(levelled.wav)
        with self._inference(mel.shape[-1]):
            converted = decode(self.model, self.model.encode(mel[None]), profile)
            wav = self._wav(self._match(converted, profile, matching))[: len(levelled.wav)]
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
        matching = self._strength(matching)
        if chunks is None and not self._is_long(source):
            return audio_io.write(out, self.convert(source, target, matching=matching), force=force)
        audio_io.require_format(out)
        require_new(out, force)
        profile = self.profile(target)
        with atomic_path(out) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as scratch:

            def keep(block: NDArray[np.float32]) -> None:
                scratch.write(block.tobytes())

            level, start = self._convert_long(source, profile, (matching, chunks, progress), keep), 0
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

        strength = self._strength(matching)
        if not isinstance(options, StreamOptions | None):
            raise ConfigError(f"options: a value of type {type(options).__name__}; give StreamOptions")
        profile, initial = self.profile(target), None
        known = source_sample if source_sample is not None else first_recording(target)
        if known is not None:
            mel = self.mel(known)[:, : self.spec.seconds_to_frames(PRIOR_SECONDS)]
            with self._inference(mel.shape[-1]):
                initial = InitialStatistics.measure(
                    self.model, mel, profile, of_source=source_sample is not None
                )
        engine = Engine(self.model, self._transform, self.vocoder)
        return Stream(engine, profile, strength, options or StreamOptions(), initial)

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
        known = known_voice(target, self.profile, self.fingerprint, (self.embedding_size, self.spec.n_mels))
        if known is not None:
            return known
        given = as_source(target, "a target")
        profile, quality = self._reference(given)
        warn_of_reference(name_of(given), quality, profile.pitch_centre is not None or not self._reads_pitch)
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
        return SpeakerProfile.mean(
            [self.profile(each) for each in as_targets(targets)], weights, spherical=spherical
        )

    def mel(self, source: Source) -> Tensor:
        """Log-mel as the model hears it, at the common level: -> (M, T).

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.1 s.
        """
        return self._mel(self._levelled(as_source(source), SOURCE_SECONDS, "a source").wav)

    def encode(self, source: Source) -> Content:
        """What is said, without who says it: -> units (1, D, T').

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.1 s.
        """
        mel = self.mel(source)
        with self._inference(mel.shape[-1]):
            return self.model.encode(mel[None])

    def decode(self, content: Content, speaker: Target, *, matching: float | None = None) -> Tensor:
        """Let a speaker say a content: -> mel (M, T).

        Args:
            content: from `encode`.
            speaker: whatever `convert` takes as a target.
            matching: as in `convert`.
        """
        strength, voice = self._strength(matching), self.profile(speaker)
        if not hasattr(content, "units") and not hasattr(content, "frames"):
            raise ConfigError(f"content: a value of type {type(content).__name__}; give what `encode` gave")
        with self._inference(content.frames):
            return self._match(decode(self.model, content, voice), voice, strength)

    def synthesise(self, mel: Tensor | NDArray[np.float32]) -> Audio:
        """Let the vocoder speak a mel: (M, T) -> wav (N,).

        Raises:
            AudioError: for another shape.
        """
        given = torch.from_numpy(as_mel(mel, self.spec.n_mels)).to(self.device)
        return Audio(wav=self._wav(given), sample_rate=self.spec.sample_rate)

    def _is_long(self, source: Path | Audio) -> bool:
        return header_seconds(source) > WHOLE_SECONDS

    def _convert_long(
        self,
        source: Path | Audio,
        profile: SpeakerProfile,
        options: tuple[float | None, ChunkOptions | None, bool],
        keep: Callable[[NDArray[np.float32]], object],
    ) -> LevelCorrection:
        """Convert in chunks, each handed to `keep` at some level; returns what makes them as loud as the source."""
        (matching, chunks, progress), rate = options, self.spec.sample_rate
        met = LevelMeter(rate)
        with self._inference(0):
            conversion = ChunkedConversion(
                Engine(self.model, self._transform, self.vocoder),
                lambda: audio_io.blocks(source, rate, min_seconds=SOURCE_SECONDS, what="a source"),
                profile,
                self._strength(matching),
                chunks,
            )
            seconds, silence = conversion.level.samples / rate, SilenceEnvelope.from_meter(conversion.level)
            with tqdm(total=round(seconds), desc="convert", unit="s", disable=not progress) as bar:
                for block in conversion.blocks():
                    keep(silence.apply(block, met.samples))
                    met.update(block)
                    bar.update(round(met.samples / rate) - bar.n)
        return LevelCorrection.from_meters(conversion.level, met)

    def _strength(self, matching: float | None) -> float:
        return as_strength(matching, self.model.matching)

    def _match(self, mel: Tensor, profile: SpeakerProfile, matching: float | None) -> Tensor:
        """(M, T) -> (M, T) with the statistics of the voice, where they are known."""
        with self._inference(0):
            return match(mel, profile, self._strength(matching))

    def _spans(self, mel: Tensor) -> list[tuple[int, int]]:
        rate = self.spec.seconds_to_frames
        return spans(mel.shape[-1], rate(PIECE_SECONDS), rate(OVERLAP_SECONDS))

    @property
    def _reads_pitch(self) -> bool:
        return bool(getattr(self.model.pitch, "n_bins", 0))

    def _reference(self, target: Path | Audio) -> tuple[SpeakerProfile, ReferenceQuality]:
        """What is heard of a recording, and how good it is; its pitch is known only where both say so."""
        levelled = self._levelled(target, TARGET_SECONDS, "a target")
        mel = self._mel(levelled.wav)
        profile = self._listen(mel)
        parts = stretches(mel.shape[-1], self.spec.frame_rate)
        with self._inference(sum(stop - start for start, stop in parts)):
            vectors = [
                self.model.embed(mel[None, :, start:stop])[0].float().numpy(force=True)
                for start, stop in parts
            ]
        measured = measure(levelled.wav, self.spec.sample_rate, levelled.gain_db)
        quality = replace(measured, agreement=agreement(vectors))
        return profile if quality.has_pitch else replace(profile, pitch_centre=None), quality

    def _listen(self, mel: Tensor) -> SpeakerProfile:
        """Mean over chunks of a long recording: (M, T) ->."""
        parts = []
        for start, stop in self._spans(mel):
            with self._inference(stop - start):
                traits = self.model.describe(mel[None, :, start:stop])
            mean, deviation = (x[0].numpy(force=True) for x in (traits.mel_mean, traits.mel_deviation))
            covariance = active_covariance(mel[:, start:stop].numpy(force=True))
            colour = MelStatistics(mean, deviation, float(traits.active_frames[0]), covariance)
            centre = known_centre(traits)
            speaker = traits.speaker[0].float().numpy(force=True)
            parts.append(SpeakerProfile(speaker, None if math.isnan(centre) else centre, colour))
        return SpeakerProfile.mean(parts)

    def _wav(self, mel: Tensor) -> NDArray[np.float32]:
        """(M, T) -> (N,)."""
        seconds = mel.shape[-1] / self.spec.frame_rate
        with inference(self.device, _VOCODER_GFLOP_PER_SECOND * seconds):
            return finite(self.vocoder(mel[None])[0].float().cpu().numpy())

    def _mel(self, wav: NDArray[np.float32]) -> Tensor:
        """(N,) -> (M, T), with frames up to the last sample."""
        with self._inference(0):
            return self._transform(whole_hops(torch.from_numpy(wav).to(self.device), self.spec))

    def _levelled(self, source: Path | Audio, min_seconds: float, what: str) -> NormalisedWave:
        """Audio at the model's rate and the common level."""
        audio = audio_io.load(source, self.spec.sample_rate, min_seconds=min_seconds, what=what)
        return normalise(audio.wav, self.spec.sample_rate)

    def _inference(self, frames: int) -> AbstractContextManager[None]:
        """A convolution does two operations a weight and frame."""
        return inference(self.device, 2e-9 * self.parameters * frames)


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
    from voiceae.vocoders.base import load_vocoder

    where = resolve_device(device)
    path = find_model(name_or_path)
    loaded = modelfile.load(path, kind="autoencoder", device=where)
    spec = loaded.header.spec
    return Voice(
        model=loaded.module,  # type: ignore[arg-type]  # the file's kind says that it is one
        spec=spec,
        vocoder=load_vocoder(find_vocoder(vocoder, spec), spec, where),
        name=path.stem,
        fingerprint=loaded.header.checksum,
    )
