"""Chunked conversion: recordings of any length, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.conversion.arguments import as_number
from voiceae.conversion.backends.torch import SourceStatistics, decode, known_centre, match, source_statistics
from voiceae.dsp.loudness import LevelMeter
from voiceae.dsp.mel import MelStream, evenly_spaced_spans, select_spans
from voiceae.dsp.statistics import masked_moments
from voiceae.errors import AudioError, ConfigError
from voiceae.nn.norm import (
    CachedSpeaker,
    FixedStatistics,
    MomentsSource,
    RecordedStatistics,
    recorded_statistics,
    with_norm_statistics,
)
from voiceae.nn.receptive_field import context_windows, receptive_field

if TYPE_CHECKING:
    from voiceae.conversion.backends.torch import TorchBackend
    from voiceae.conversion.speaker_profile import SpeakerProfile
    from voiceae.models import Autoencoder

# Whose mel is computed at once: 3 s, so that a file read in one block needs no more memory.
_BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ChunkOptions:
    """How a recording that is never held whole is converted.

    Attributes:
        chunk_seconds: what goes through the network at once.
        statistics_seconds: from how much of the recording, in segments spread evenly over it, the norms, the pitch
            centre and the level of every mel bin are taken; from all of it when it has no more.
        segment_seconds: length of such a segment.

    Raises:
        ConfigError: for a duration that is no finite number above zero.
    """

    # The bundled model's receptive field is 1.6 s to either side, so that a tenth of the work is done twice.
    chunk_seconds: float = 30.0
    # Pass 2 decides how much memory is needed: 600 s and 3,600 s both take some 140 MB (recipes/bench).
    statistics_seconds: float = 240.0
    segment_seconds: float = 10.0  # two or three sentences, long beside the receptive field

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not as_number(value, name) > 0:
                raise ConfigError(f"{name} {value}: give a number above zero")


@dataclass(frozen=True)
class FrozenStatistics:
    """What a chunked conversion takes for the statistics of the whole recording.

    Attributes:
        model: the network, its instance norms with fixed statistics.
        pitch_centre: of the source, octaves; NaN where it has none that can be relied on.
        converted: statistics of the converted mel, before they are matched to the target's.
    """

    model: Autoencoder
    pitch_centre: float
    converted: SourceStatistics


class ChunkedConversion:
    """A recording of any length in another voice, in three passes over it.

    Pass 1 measures level and length. Pass 2 runs the network on up to 240 s sampled from the file and freezes
    instance-norm statistics, the source's embedding, F0 median and mel statistics for pass 3. Pass 3 converts chunks,
    each with as much context as the receptive field, so that no seam is left, and hands them to the vocoder.

    Args:
        backend: network, mel and vocoder.
        recording: gives the blocks of the source anew at every call: () -> (n,), ...
        profile: the target.
        matching: how far the result is given the target's statistics.
        options: how it is cut.
    """

    def __init__(
        self,
        backend: TorchBackend,
        recording: Callable[[], Iterable[NDArray[np.float32]]],
        profile: SpeakerProfile,
        matching: float,
        options: ChunkOptions | None = None,
    ) -> None:
        self.backend, self.profile, self.matching = backend, profile, matching
        self.options = options or ChunkOptions()
        self._recording, self._spec = recording, backend.transform.spec
        self.level = LevelMeter(self._spec.sample_rate)
        for block in recording():
            self.level.update(block)
        self.frames = -(-self.level.samples // self._spec.hop_length)
        self._gain = np.float32(10 ** (self.level.gain_db / 20))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The converted wave, as long as the source, before its level is restored: -> (n,), ..."""
        done = 0
        mels = (mel[None] for mel in self.converted_mels(self.freeze_statistics()))
        for wav in self.backend.vocoder.blocks(mels, self.frames):
            block = wav[0, : self.level.samples - done].float().cpu().numpy().copy()
            done += len(block)
            yield block

    @torch.inference_mode()
    def freeze_statistics(self) -> FrozenStatistics:
        """Run the network on a sample of the recording and freeze what it would take from the whole."""
        frames = self._spec.seconds_to_frames
        wanted, length = frames(self.options.statistics_seconds), frames(self.options.segment_seconds)
        mel = select_spans(self._source_mels(), evenly_spaced_spans(self.frames, wanted, length))
        model = with_norm_statistics(self.backend.model, lambda _: RecordedStatistics())
        # Of a chunk alone, a content encoder that asks for the source's embedding would get another one.
        model.content.join(CachedSpeaker(model.speaker))
        content = model.encode(mel[None])
        converted = source_statistics(decode(model, content, self.profile), self.profile, self.matching)
        # A norm that was not run, as of a part that conversion does not use, keeps its own statistics.
        fixed: list[MomentsSource] = [
            FixedStatistics(kept) if kept else masked_moments for kept in recorded_statistics(model)
        ]
        return FrozenStatistics(
            with_norm_statistics(model, fixed.__getitem__), known_centre(content), converted
        )

    @torch.inference_mode()
    def converted_mels(self, frozen: FrozenStatistics) -> Iterator[Tensor]:
        """Convert chunk by chunk: -> (M, t), ..."""
        model = frozen.model
        chunk, context = (  # whole code frames
            -(-frames // model.rate) * model.rate
            for frames in (
                self._spec.seconds_to_frames(self.options.chunk_seconds),
                receptive_field(model.content, model.decoder),
            )
        )
        for window, start, stop in context_windows(self._source_mels(), chunk, context):
            mel = decode(model, model.encode(window[None]), self.profile, frozen.pitch_centre)
            yield match(mel[:, start:stop], self.profile, self.matching, frozen.converted)

    @torch.inference_mode()
    def _source_mels(self) -> Iterator[Tensor]:
        """Log-mel of the source at the common level: -> (M, t), ..."""
        offset, samples = np.float32(self.level.offset), 0
        stream = MelStream(self.backend.transform)
        for block in self._recording():
            samples += len(block)
            for start in range(0, len(block), _BLOCK_SAMPLES):
                wav = (block[start : start + _BLOCK_SAMPLES] - offset) * self._gain
                yield stream.push(torch.from_numpy(wav))
        if samples != self.level.samples:
            raise AudioError(
                f"the source had {self.level.samples} samples and then {samples}; leave it alone while it is converted"
            )
        yield stream.flush()
