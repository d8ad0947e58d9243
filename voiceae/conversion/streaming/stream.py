"""Streaming conversion: samples in, samples out, a tenth of a second later.

`Stream` cuts the input into steps of one code frame and takes each through gate, level, mel, network, vocoder and back
to the source's level. `_StreamingModel` is the network of it, whose statistics run along with the audio.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voiceae.conversion.backends.torch import SourceStatistics, decode, match, source_statistics
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE
from voiceae.dsp.mel import MelStream
from voiceae.dsp.streaming_loudness import NoiseGate, StreamingLevel
from voiceae.errors import AudioError
from voiceae.hardware import inference
from voiceae.models import Autoencoder
from voiceae.nn.int8 import optimise_for_few_frames
from voiceae.nn.norm import (
    CachedSpeaker,
    Moments,
    RecordedStatistics,
    RunningStatistics,
    StreamWindow,
    recorded_statistics,
    weight_sharing_copy,
    with_norm_statistics,
)
from voiceae.vocoders.streaming import streaming_vocoder

if TYPE_CHECKING:
    from voiceae.conversion.backends.torch import TorchBackend

Wave = NDArray[np.float32]

# Medians and moments over seconds of audio change slowly: after 40 steps (1.9 s) every fourth step is enough.
_EAGER_STEPS, _STEPS_BETWEEN_UPDATES = 40, 4
OTHER_SPEAKER_FRAMES = 120.0
"""Code frames, 5.6 s, that the statistics of another speaker count for: fewer, and the first words suffer."""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a stream trades delay and work for quality.

    Attributes:
        look_ahead: code frames (46 ms at the default mel) that the network sees beyond the one it converts.
        vocoder_look_ahead: mel frames that the vocoder sees beyond the one it synthesises.
        context_seconds: how much of the past the network is shown at every step.
        memory_seconds: time constant of all running statistics.
        gate_dbfs: input below this level counts as silence, and gives silence.
        int8: on a CPU, calculate with weights of eight bits, in three quarters of the time.
    """

    look_ahead: int = 0
    vocoder_look_ahead: int = 1
    context_seconds: float = 0.6
    memory_seconds: float = 10.0
    gate_dbfs: float = -60.0
    int8: bool = True


@dataclass(frozen=True)
class InitialStatistics:
    """Statistics that a stream starts with, before the first sample.

    Attributes:
        norm_moments: of every instance norm.
        frames: code frames that they count for.
        pitch: (K, T) pitch distributions of the source speaker; T = 0 where the recording is of somebody else.
        mel: (M, T) that they come from.
        converted: (M, T) what the model made of it.
        speaker: (1, S) embedding of the source speaker, where the content encoder asks for it.
    """

    norm_moments: list[Moments | None]
    frames: float
    pitch: Tensor
    mel: Tensor
    converted: Tensor
    speaker: Tensor | None = None

    @classmethod
    @torch.inference_mode()
    def measure(
        cls, model: Autoencoder, mel: Tensor, profile: SpeakerProfile, *, of_source: bool
    ) -> InitialStatistics:
        """Run the network over a recording: (M, T) ->.

        Args:
            model: the network.
            mel: of the recording.
            profile: the target.
            of_source: whether the recording is of the speaker to come. One of somebody else tells what speech does to
                the norms, which counts for some seconds, but not how high or how loud in each bin the speaker is.
        """
        recording_model = with_norm_statistics(model, lambda _: RecordedStatistics())
        speaker = CachedSpeaker(recording_model.speaker)
        recording_model.content.join(speaker)
        content = recording_model.encode(mel[None])
        converted = decode(recording_model, content, profile)
        frames = float(-(-mel.shape[-1] // model.rate))
        moments = recorded_statistics(recording_model)
        if of_source:
            return cls(moments, frames, content.pitch[0], mel, converted, speaker.voice)
        none = mel[:, :0]
        return cls(moments, min(frames, OTHER_SPEAKER_FRAMES), none, none, none)


class Stream:
    """One voice into another, block by block; made by `Voice.stream`.

    At every code frame the network is run over a window of the past, its norms going by running statistics, and the
    newest code frame is synthesised. Whatever the sizes of the blocks pushed, the work is done in the same steps, so
    the result does not depend on them: after `flush` there are as many samples out as in, each at its own place.

    Args:
        backend: network, mel and vocoder.
        profile: the target.
        matching: how far the result is given the target's statistics.
        options: delay and quality.
        initial: statistics to begin with.
    """

    def __init__(
        self,
        backend: TorchBackend,
        profile: SpeakerProfile,
        matching: float,
        options: StreamOptions,
        initial: InitialStatistics | None = None,
    ) -> None:
        spec = backend.transform.spec
        self.spec, self.sample_rate, self.options = spec, spec.sample_rate, options
        self._device = backend.transform.window.device
        self._model = _StreamingModel(backend.model, profile, matching, options, spec.frame_rate, initial)
        vocoder = weight_sharing_copy(backend.vocoder)
        if self._device.type == "cpu":
            optimise_for_few_frames(self._model.model, int8=options.int8)
            optimise_for_few_frames(vocoder, int8=options.int8)
        self._vocoder = streaming_vocoder(vocoder, options.vocoder_look_ahead)
        self._mel = MelStream(backend.transform)
        self._gate = NoiseGate(spec, options.gate_dbfs)
        self._level = StreamingLevel(spec, options.memory_seconds)

        rate = backend.model.rate  # mel frames in a code frame
        self._step_samples = spec.samples(rate)
        # The first code frame is complete with the last sample under the window of its last mel frame.
        self._needed = spec.samples(rate - 1) + spec.n_fft - spec.padding  # samples of the next step
        delay = spec.samples(rate * options.look_ahead) + self._vocoder.delay_samples
        self.latency_samples = self._needed + delay
        self._leading = delay  # samples still to be dropped: those that come out before the first one went in
        # Once all that is in flight is silence too, network and vocoder have nothing to compute.
        self._idle_hops = delay // spec.hop_length + rate + 1
        self._pending = np.zeros(0, np.float32)  # input that does not fill a step yet
        self._pushed = self._emitted = 0
        self._finished = False

    @property
    def latency_seconds(self) -> float:
        """How long a sample waits at most before it comes out, computing aside."""
        return self.latency_samples / self.sample_rate

    def push(self, wav: Wave) -> Wave:
        """Samples in, at the model's rate and full scale 1, what is ready out: (n,) -> (m,).

        Raises:
            AudioError: for anything but one channel of finite floats, or after `flush`.
        """
        wav = np.asarray(wav)
        if self._finished:
            raise AudioError("the stream was flushed; start another one")
        if wav.ndim != 1 or wav.dtype.kind != "f":
            raise AudioError(
                f"a block of {wav.dtype} of shape {wav.shape}; push one channel of floats, full scale 1"
            )
        if not np.isfinite(wav).all():
            raise AudioError(f"a block after sample {self._pushed} has samples that are NaN or infinite")
        self._pushed += len(wav)
        return self._process(wav.astype(np.float32, copy=False))

    def flush(self) -> Wave:
        """The rest, as many samples as are still to come: -> (m,)."""
        parts = [np.zeros(0, np.float32)]
        while self._emitted < self._pushed:
            parts.append(self._process(np.zeros(self._needed - len(self._pending), np.float32)))
        self._finished = True
        surplus, self._emitted = self._emitted - self._pushed, self._pushed
        rest = np.concatenate(parts)
        return rest[: len(rest) - surplus]

    def _process(self, wav: Wave) -> Wave:
        """As many steps of a code frame as there are samples for: (n,) -> (m,)."""
        pending, results = np.concatenate((self._pending, wav)), [np.zeros(0, np.float32)]
        while len(pending) >= self._needed:
            block, pending = pending[: self._needed], pending[self._needed :]
            self._needed = self._step_samples

            self._gate.update(block)
            gain = self._level.update(self._gate.open_powers)
            with inference(self._device, 0.0):
                mel = self._mel.push(torch.from_numpy(block * gain).to(self._device))
                if self._gate.closed_hops > self._idle_hops:  # a pause costs next to nothing
                    self._model.skip(mel)
                    self._vocoder.reset()
                    out = np.zeros(self._step_samples, np.float32)
                else:
                    converted = self._model.convert(mel, self._gate.is_speech)
                    out = self._vocoder.push(converted).float().cpu().numpy()

            # Every sample is given its own place in the source, and there the source's level and silence.
            leading = min(self._leading, len(out))
            self._leading -= leading
            out = self._level.restore(out[leading:])
            out = out * self._gate.envelope(self._emitted, len(out))
            self._emitted += len(out)
            results.append(np.clip(out, -1.0, 1.0))
        self._pending = pending
        return np.concatenate(results)


class _StreamingModel:
    """The network with running statistics: a code frame of mel in, one of the converted mel out.

    Args:
        model: shared weights.
        profile: the target.
        matching: as in `match`.
        options: of the stream.
        frame_rate: mel frames a second.
        initial: statistics to begin with.
    """

    def __init__(
        self,
        model: Autoencoder,
        profile: SpeakerProfile,
        matching: float,
        options: StreamOptions,
        frame_rate: float,
        initial: InitialStatistics | None,
    ) -> None:
        self._profile, self._matching = profile, matching
        self._rate, self._look_ahead = model.rate, options.look_ahead
        self._clock = StreamWindow(options.look_ahead)
        memory = options.memory_seconds * frame_rate

        def running(norm: int) -> RunningStatistics:
            codes = memory / model.rate
            if initial is None:
                return RunningStatistics(self._clock, codes)
            start = initial.norm_moments[norm], min(initial.frames, codes)
            return RunningStatistics(self._clock, codes, *start)

        self.model = with_norm_statistics(model, running)
        self._source_speaker = CachedSpeaker(self.model.speaker)
        self._source_speaker.voice = initial.speaker if initial else None
        self.model.content.join(self._source_speaker)
        context = -(-round(options.context_seconds * frame_rate) // model.rate)
        self._window_frames = (context + 1 + options.look_ahead) * model.rate
        self._window: Tensor | None = None
        # Of the code frames from the one that is converted to the newest, whether they go into the statistics.
        delayed = self._look_ahead + 1
        self._in_statistics = deque([False] * delayed, maxlen=delayed)
        self._source = _History(round(memory), (initial.pitch, initial.mel) if initial else ())
        self._converted = _History(round(memory), (initial.converted,) if initial else ())
        self._steps = 0
        self._pitch_centre: float | None = None
        self._statistics: SourceStatistics | None = None

    def skip(self, mel: Tensor, in_statistics: bool = False) -> None:
        """Move the window on by a code frame without converting it: (M, rate)."""
        self._in_statistics.append(in_statistics)
        window = mel if self._window is None else torch.cat((self._window, mel), dim=-1)
        self._window = window[:, -self._window_frames :]

    def convert(self, mel: Tensor, in_statistics: bool) -> Tensor:
        """Convert the code frame `look_ahead` before the newest: (M, rate) -> (M, rate).

        Args:
            mel: the newest code frame.
            in_statistics: whether it goes into the running statistics: pauses do, silence does not.
        """
        self.skip(mel, in_statistics)
        assert self._window is not None
        update = self._steps < _EAGER_STEPS or self._steps % _STEPS_BETWEEN_UPDATES == 0
        self._steps += 1
        # Norms and converted mel are counted for the frame that is converted now, pitch and voice for the newest.
        converted_counts = self._in_statistics[0]
        self._clock.frames = self._window.shape[-1] // self._rate
        self._clock.new_frames = int(converted_counts)

        content = self.model.encode(self._window[None])
        if in_statistics:
            self._source.add(content.pitch[0, :, -self._rate :], mel)
        if update and self._source.parts:
            pitch, source_mel = (part[None] for part in self._source.parts)
            if self._source_speaker.used:
                self._source_speaker.voice = self.model.embed(source_mel)
            confident = float(self.model.pitch.confidence(pitch, source_mel)[0]) >= MIN_PITCH_CONFIDENCE
            self._pitch_centre = (
                float(self.model.pitch.centre(pitch, source_mel)[0]) if confident else math.nan
            )

        decoded = decode(self.model, content, self._profile, self._pitch_centre)
        stop = max(decoded.shape[-1] - self._look_ahead * self._rate, self._rate)
        newest = decoded[:, stop - self._rate : stop]
        if converted_counts:
            self._converted.add(newest)
        if update and self._converted.parts:
            self._statistics = source_statistics(self._converted.parts[0], self._profile, self._matching)
        if self._statistics is None:
            return newest
        return match(newest, self._profile, self._matching, self._statistics)


class _History:
    """The latest frames of some features, in memory that is moved seldom.

    Args:
        frames: how many are kept.
        start: (C, T) each.
    """

    def __init__(self, frames: int, start: tuple[Tensor, ...]) -> None:
        self._frames = frames
        self._buffers: tuple[Tensor, ...] = ()  # with room behind what is kept
        self._stop = 0
        if start and start[0].shape[-1]:
            self.add(*start)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """(C, T) each; none before the first frame."""
        return tuple(each[:, max(0, self._stop - self._frames) : self._stop] for each in self._buffers)

    def add(self, *new: Tensor) -> None:
        """Append frames: (C, t) each."""
        count = new[0].shape[-1]
        if not self._buffers or self._stop + count > self._buffers[0].shape[-1]:
            kept = self.parts or tuple(part[:, :0] for part in new)
            self._buffers = tuple(
                functional.pad(old, (0, self._frames + part.shape[-1]))
                for old, part in zip(kept, new, strict=True)
            )
            self._stop = kept[0].shape[-1]
        for buffer, part in zip(self._buffers, new, strict=True):
            buffer[:, self._stop : self._stop + count] = part
        self._stop += count
