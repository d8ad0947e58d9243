"""Conversion while somebody speaks: samples in, samples out, a tenth of a second later."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.statistics_matching import Engine, SourceStatistics, decode, match, source_statistics
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE
from voiceae.dsp.mel import MelStream
from voiceae.dsp.streaming_loudness import NoiseGate, StreamingLevel
from voiceae.errors import AudioError
from voiceae.hardware import inference
from voiceae.models import Autoencoder
from voiceae.nn.int8 import optimise_for_few_frames
from voiceae.nn.norm import Moments
from voiceae.nn.norm_statistics import (
    CachedSpeaker,
    RecordedStatistics,
    RunningStatistics,
    StreamWindow,
    recorded_statistics,
    weight_sharing_copy,
    with_norm_statistics,
)
from voiceae.vocoders.streaming import streaming_vocoder

Wave = NDArray[np.float32]

_EAGER_STEPS = 40
STRANGER_FRAMES = 120.0
"""Code frames, 5.6 s, that the statistics of another speaker count for: fewer, and the first words suffer."""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a stream trades delay and work for quality.

    Attributes:
        look_ahead: code frames (46 ms at the default mel) that the network hears beyond the one it says.
        vocoder_look_ahead: mel frames that the vocoder hears beyond the one it speaks.
        context_seconds: how much of the past the network is shown at every step.
        memory_seconds: time constant of all running statistics.
        gate_dbfs: input below this level counts as silence, and gives silence.
        eight_bit: on a CPU, calculate with weights of eight bits, in three quarters of the time.
    """

    look_ahead: int = 0
    vocoder_look_ahead: int = 1
    context_seconds: float = 0.6
    memory_seconds: float = 10.0
    gate_dbfs: float = -60.0
    eight_bit: bool = True


@dataclass(frozen=True)
class Prior:
    """What a stream takes for granted before it has heard anything.

    Attributes:
        moments: of every instance norm.
        frames: code frames that they count for.
        pitch: (K, T) distributions of the speaker to come, or none of them.
        mel: (M, T) that they come from.
        converted: (M, T) what became of it.
        voice: (1, S) of the speaker to come, where the content encoder asks for it.
    """

    moments: list[Moments | None]
    frames: float
    pitch: Tensor
    mel: Tensor
    converted: Tensor
    voice: Tensor | None = None


class Stream:
    """One voice into another, block by block; made by `Voice.stream`.

    At every code frame the network is run over a window of the past, its norms going by running statistics, and the
    newest code frame is spoken. Whatever the sizes of the blocks pushed, the work is done in the same steps, so the
    result does not depend on them: after `flush` there are as many samples out as in, and each stands where it stood.

    Args:
        engine: network, mel and vocoder.
        profile: the target.
        matching: how far the result is given the target's statistics.
        options: delay and quality.
        prior: to begin with.
    """

    def __init__(
        self,
        engine: Engine,
        profile: SpeakerProfile,
        matching: float,
        options: StreamOptions,
        prior: Prior | None = None,
    ) -> None:
        spec = engine.transform.spec
        self.spec, self.sample_rate, self.options = spec, spec.sample_rate, options
        self._device = engine.transform.window.device
        self._rate = engine.model.rate
        self._mel = MelStream(engine.transform)
        self._speaker = _Speaker(engine.model, profile, matching, options, spec.frame_rate, prior)
        vocoder = weight_sharing_copy(engine.vocoder)
        if self._device.type == "cpu":
            optimise_for_few_frames(self._speaker.model, eight_bit=options.eight_bit)
            optimise_for_few_frames(vocoder, eight_bit=options.eight_bit)
        self._vocoder = streaming_vocoder(vocoder, options.vocoder_look_ahead)
        self._step = spec.samples(self._rate)
        first = spec.samples(self._rate - 1) + spec.n_fft - spec.padding
        self._wanted = first  # samples that the next step takes
        lag = spec.samples(self._rate * options.look_ahead) + self._vocoder.delay_samples
        self.latency_samples = first + lag
        self._idle_hops = lag // spec.hop_length + self._rate + 1
        self._surplus = lag  # samples that come before the first one
        self._level = StreamingLevel(spec, options.memory_seconds)
        self._gate = NoiseGate(spec, options.gate_dbfs)
        self._held = np.zeros(0, np.float32)
        self._in = self._out = 0
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
        wav = self._checked(wav)
        self._in += len(wav)
        return self._advance(wav)

    def flush(self) -> Wave:
        """The end: what is still to come, so that as much came out as went in: -> (m,)."""
        parts = []
        while self._out < self._in:
            parts.append(self._advance(np.zeros(self._wanted - len(self._held), np.float32)))
        self._finished = True
        surplus = self._out - self._in
        rest = np.concatenate((*parts, np.zeros(0, np.float32)))
        self._out = self._in
        return rest[: len(rest) - surplus]

    def _checked(self, wav: Wave) -> Wave:
        wav = np.asarray(wav)
        if self._finished:
            raise AudioError("the stream was flushed; start another one")
        if wav.ndim != 1 or wav.dtype.kind != "f":
            raise AudioError(
                f"a block of {wav.dtype} of shape {wav.shape}; push one channel of floats, full scale 1"
            )
        if not np.isfinite(wav).all():
            raise AudioError(f"a block after sample {self._in} has samples that are NaN or infinite")
        return wav.astype(np.float32, copy=False)

    def _advance(self, wav: Wave) -> Wave:
        """Take as many steps as there are samples for."""
        held, parts = np.concatenate((self._held, wav)), [np.zeros(0, np.float32)]
        while len(held) >= self._wanted:
            block, held = held[: self._wanted], held[self._wanted :]
            self._wanted = self._step
            parts.append(self._one_step(block))
        self._held = held
        return np.concatenate(parts)

    def _one_step(self, block: Wave) -> Wave:
        """One code frame: (n,) -> (n',)."""
        self._gate.update(block)
        gain = self._level.update(self._gate.open_powers)
        with inference(self._device, 0.0):
            mel = self._mel.push(torch.from_numpy(block * gain).to(self._device))
            wav = self._say(mel).cpu().numpy()
        return self._placed(wav)

    def _say(self, mel: Tensor) -> Tensor:
        """(M, rate) -> (step,), late by the lag."""
        if self._gate.closed_hops > self._idle_hops:
            self._speaker.pass_by(mel)
            self._vocoder.reset()
            return mel.new_zeros(self._step)
        return self._vocoder.push(self._speaker.say(mel, self._gate.is_speech)).float()

    def _placed(self, wav: Wave) -> Wave:
        """Give samples the source's level and its silences; drop what comes before the first one: (n,) -> (n',)."""
        early = min(self._surplus, len(wav))
        self._surplus -= early
        wav = self._level.restore(wav[early:])
        wav = wav * self._gate.envelope(self._out, len(wav))
        self._out += len(wav)
        return np.clip(wav, -1.0, 1.0)


class _Speaker:
    """The network with its running statistics: a code frame of mel in, one of the converted mel out.

    Args:
        model: shared weights.
        profile: the target.
        matching: as in `match`.
        options: of the stream.
        frame_rate: mel frames a second.
        prior: to begin with.
    """

    def __init__(
        self,
        model: Autoencoder,
        profile: SpeakerProfile,
        matching: float,
        options: StreamOptions,
        frame_rate: float,
        prior: Prior | None,
    ) -> None:
        self._heard, self._matching = profile, matching
        self._rate, self._ahead = model.rate, options.look_ahead
        self._clock = StreamWindow(options.look_ahead)
        memory = options.memory_seconds * frame_rate
        self.model = with_norm_statistics(
            model, lambda index: _running(self._clock, memory / model.rate, index, prior)
        )
        self._voice = CachedSpeaker(self.model.speaker)
        self._voice.voice = prior.voice if prior else None
        self.model.content.join(self._voice)
        context = -(-round(options.context_seconds * frame_rate) // model.rate)
        self._window_frames = (context + 1 + options.look_ahead) * model.rate
        self._window: Tensor | None = None
        self._counts = deque([False] * (self._ahead + 1), maxlen=self._ahead + 1)  # of the latest code frames
        self._source = _History(round(memory), (prior.pitch, prior.mel) if prior else ())
        self._converted = _History(round(memory), (prior.converted,) if prior else ())
        self._said = 0
        self._pitch_centre: float | None = None
        self._own: SourceStatistics | None = None

    def pass_by(self, mel: Tensor, counts: bool = False) -> None:
        """Hear a code frame without an answer."""
        self._counts.append(counts)
        window = mel if self._window is None else torch.cat((self._window, mel), dim=-1)
        self._window = window[:, -self._window_frames :]

    def say(self, mel: Tensor, counts: bool) -> Tensor:
        """(M, rate) -> (M, rate) of the code frame `look_ahead` ago.

        Args:
            mel: the newest code frame.
            counts: whether it belongs into the statistics: pauses do, silence does not.
        """
        self.pass_by(mel, counts)
        assert self._window is not None
        said_counts = self._counts[0]  # the norms and the result are those of the code frame that is said now
        self._clock.frames, self._clock.new_frames = self._window.shape[-1] // self._rate, int(said_counts)
        content = self.model.encode(self._window[None])
        if counts:
            self._source.add(content.pitch[0, :, -self._rate :], mel)
        self._learn_voice()
        self._learn_pitch()
        converted = decode(self.model, content, self._heard, self._pitch_centre)
        stop = max(converted.shape[-1] - self._ahead * self._rate, self._rate)
        newest = converted[:, stop - self._rate : stop]
        if said_counts:
            self._converted.add(newest)
        self._learn_statistics()
        self._said += 1
        return newest if self._own is None else match(newest, self._heard, self._matching, self._own)

    @property
    def _due(self) -> bool:
        """Medians and moments of the past change slowly: often at first, later every fourth time."""
        return self._said < _EAGER_STEPS or self._said % 4 == 0

    def _learn_voice(self) -> None:
        """Where the content encoder asks for it."""
        if self._due and self._source.parts and self._voice.used:
            self._voice.voice = self.model.embed(self._source.parts[1][None])

    def _learn_pitch(self) -> None:
        if self._due and self._source.parts:
            pitch, mel = (part[None] for part in self._source.parts)
            sure = float(self.model.pitch.confidence(pitch, mel)[0]) >= MIN_PITCH_CONFIDENCE
            self._pitch_centre = float(self.model.pitch.centre(pitch, mel)[0]) if sure else math.nan

    def _learn_statistics(self) -> None:
        if self._due and self._converted.parts:
            self._own = source_statistics(self._converted.parts[0], self._heard, self._matching)


class _History:
    """The latest frames of some features.

    Args:
        frames: how many are kept.
        start: (C, T) each.
    """

    def __init__(self, frames: int, start: tuple[Tensor, ...]) -> None:
        self._frames = frames
        self._held: tuple[Tensor, ...] = ()  # with room behind what is kept, so that it is seldom moved
        self._stop = 0
        if start and start[0].shape[-1]:
            self.add(*start)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """(C, T) each; none before the first frame."""
        return tuple(held[:, max(0, self._stop - self._frames) : self._stop] for held in self._held)

    def add(self, *new: Tensor) -> None:
        """(C, t) each."""
        count = new[0].shape[-1]
        if not self._held or self._stop + count > self._held[0].shape[-1]:
            self._make_room(new)
        for held, part in zip(self._held, new, strict=True):
            held[:, self._stop : self._stop + count] = part
        self._stop += count

    def _make_room(self, new: tuple[Tensor, ...]) -> None:
        """Move what is kept to the front of a longer piece of memory."""
        kept = self.parts or tuple(part[:, :0] for part in new)
        self._held = tuple(
            functional.pad(old, (0, self._frames + part.shape[-1]))
            for old, part in zip(kept, new, strict=True)
        )
        self._stop = kept[0].shape[-1]


def _running(clock: StreamWindow, memory: float, index: int, prior: Prior | None) -> RunningStatistics:
    if prior is None:
        return RunningStatistics(clock, memory)
    return RunningStatistics(clock, memory, prior.moments[index], min(prior.frames, memory))


@torch.inference_mode()
def prior_of(model: Autoencoder, mel: Tensor, profile: SpeakerProfile, *, own: bool) -> Prior:
    """What a recording lets a stream take for granted: (M, T) ->.

    Args:
        model: the network.
        mel: of the recording.
        profile: the target.
        own: whether the recording is of the speaker to come. One of somebody else says what speech does to the norms,
            which counts for some seconds, but not how high or how loud in each bin the speaker is.
    """
    twin = with_norm_statistics(model, lambda _: RecordedStatistics())
    listener = CachedSpeaker(twin.speaker)
    twin.content.join(listener)
    content = twin.encode(mel[None])
    converted = decode(twin, content, profile)
    frames = -(-mel.shape[-1] // model.rate)
    prior = Prior(recorded_statistics(twin), float(frames), content.pitch[0], mel, converted, listener.voice)
    if own:
        return prior
    none = mel[:, :0]
    return replace(
        prior, frames=min(frames, STRANGER_FRAMES), pitch=none, mel=none, converted=none, voice=None
    )
