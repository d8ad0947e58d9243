"""A stream between microphone and loudspeaker: the network runs in a thread of its own, beside the audio callback."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError

if TYPE_CHECKING:
    from voiceae.conversion.streaming.stream import Stream

Wave = NDArray[np.float32]

_BLOCK_SECONDS = 0.02  # of an audio callback, less than half a step of the stream
_FADE_SECONDS = 0.005  # about one period of a voice: no click, and no syllable lost
_DRIFT_SECONDS = 0.03  # more than the 20 ms that a block comes early or late by, less than the usual slack
# A stream that computes in a third of real time has caught up with that much within half a second.
_LONGEST_BACKLOG_SECONDS = 1.0


class PlayoutBuffer:
    """Plays every sample of a stream a fixed time after it was recorded, or never.

    What is not there when it is due is silence, faded into and out of, and counted; it is not played later, so that
    one stall does not delay all that follows. Where the clock of the loudspeaker and that of the microphone drift
    apart, the playing position is brought back now and then, across a short cross-fade.

    Args:
        delay: samples between recording and playing.
        sample_rate: of both sides.

    Attributes:
        missed: samples that came too late, or never.
    """

    def __init__(self, delay: int, sample_rate: int) -> None:
        self.delay, self.missed = delay, 0
        self._fade = round(_FADE_SECONDS * sample_rate)
        self._tolerance = round(_DRIFT_SECONDS * sample_rate)
        self._parts: deque[tuple[int, Wave]] = deque()  # position of the first sample, samples; in order
        self._lock = threading.Lock()
        self._recorded = 0
        self._next = -delay  # position of the sample that is played next
        self._last = np.zeros(self._fade, np.float32)  # samples that were played
        self._mirror = self._last  # fades from them into silence
        self._gap = 0  # samples of silence so far, 0 while something is played
        self._since_gap = self._fade  # samples played since the last gap

    @property
    def waiting(self) -> int:
        """Samples that wait to be played."""
        with self._lock:
            return sum(len(part) for _, part in self._parts)

    def record(self, count: int) -> int:
        """Count so many samples from the microphone: -> the position of the first."""
        with self._lock:
            self._recorded += count
            return self._recorded - count

    def put(self, position: int, wav: Wave) -> None:
        """Queue the conversion of the samples that were recorded from a position on: (n,)."""
        with self._lock:
            if position + len(wav) > self._next - self._tolerance:
                self._parts.append((position, wav))

    def take(self, count: int) -> Wave:
        """Samples to play next: -> (count,)."""
        with self._lock:
            late = self._recorded - count - self.delay - self._next
            if abs(late) <= self._tolerance:
                return self._play(count)
            # The two clocks have drifted apart: jump to where playing should be, with a cross-fade.
            before = self._read(self._next, min(self._fade, count))[0]
            self._next += late
            out = self._play(count)
            share = np.linspace(0, 1, len(before), dtype=np.float32)
            out[: len(before)] = share * out[: len(before)] + (1 - share) * before
            return out

    def _play(self, count: int) -> Wave:
        """Samples from the playing position on, with fades around what is missing."""
        out, present = self._read(self._next, count)
        self._next += count
        while self._parts and self._parts[0][0] + len(self._parts[0][1]) <= self._next - 2 * self._tolerance:
            self._parts.popleft()
        bounds = np.flatnonzero(np.diff(present)) + 1
        for run in np.split(np.arange(count), bounds):
            start, stop = int(run[0]), int(run[-1]) + 1
            part, before = out[start:stop], out[:start] if start else self._last
            if present[start]:  # fade in after a gap, in place
                rising = part[: max(0, self._fade - self._since_gap)]
                rising *= (self._since_gap + np.arange(len(rising), dtype=np.float32)) / self._fade
                self._since_gap += len(rising)
                self._gap = 0
                continue
            # Fade into silence by the mirror image of what was played before.
            if not self._gap:
                falling = np.linspace(1, 0, self._fade, dtype=np.float32)
                self._mirror = np.concatenate((self._last, before))[-self._fade :][::-1] * falling
            mirrored = self._mirror[self._gap : self._gap + len(part)]
            part[: len(mirrored)] = mirrored
            self._gap += len(part)
            self._since_gap = 0
            self.missed += len(part)
        self._last = np.concatenate((self._last, out))[-self._fade :]
        return out

    def _read(self, position: int, count: int) -> tuple[Wave, NDArray[np.bool_]]:
        """Samples and whether they are there; before the first one there is silence, and nothing missing."""
        out, present = np.zeros(count, np.float32), np.zeros(count, bool)
        present[: max(0, -position)] = True
        for first, part in self._parts:
            start, stop = max(position, first), min(position + count, first + len(part))
            if start < stop:
                out[start - position : stop - position] = part[start - first : stop - first]
                present[start - position : stop - position] = True
        return out, present


class StreamWorker:
    """Feeds a stream in a thread of its own.

    Args:
        stream: converts.
        slack_seconds: delay beyond the stream's own; the longer, the longer a step may take.
    """

    def __init__(self, stream: Stream, slack_seconds: float = 0.05) -> None:
        self.stream = stream
        slack = round(slack_seconds * stream.sample_rate)
        self.playout = PlayoutBuffer(stream.latency_samples + slack, stream.sample_rate)
        self._longest_backlog = slack + round(_LONGEST_BACKLOG_SECONDS * stream.sample_rate)
        self._blocks: deque[tuple[int, Wave]] = deque()  # that wait, with their positions
        self._backlog = 0
        self._wakeup = threading.Condition()
        self._positions: deque[tuple[int, int]] = deque()  # of what is in the stream: position, samples
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> StreamWorker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._wakeup:
            self._ended = True
            self._wakeup.notify()
        self._thread.join()

    def exchange(self, wav: Wave) -> Wave:
        """Take a block from the microphone, give one as long for the loudspeaker, without waiting: (n,) -> (n,).

        Raises:
            Exception: whatever ended the thread.
        """
        self.record(wav)
        return self.playout.take(len(wav))

    def record(self, wav: Wave) -> None:
        """Queue a block from the microphone: (n,); a backlog too long to be converted in time is dropped.

        Raises:
            Exception: whatever ended the thread.
        """
        self.raise_error()
        if not len(wav):
            return
        position = self.playout.record(len(wav))
        with self._wakeup:
            self._blocks.append((position, wav.copy()))
            self._backlog += len(wav)
            if self._backlog > self._longest_backlog:  # all but the newest: one gap rather than many
                self._blocks = deque([self._blocks[-1]])
                self._backlog = len(wav)
            self._wakeup.notify()

    def raise_error(self) -> None:
        """Raise what ended the thread, if anything did.

        Raises:
            Exception: the thread's own.
        """
        if self._error is not None:
            raise self._error

    def convert_next(self) -> bool:
        """Convert the oldest block that waits: -> whether there was one."""
        with self._wakeup:
            if not self._blocks:
                return False
            position, wav = self._blocks.popleft()
            self._backlog -= len(wav)
        self._positions.append((position, len(wav)))
        self._deliver(self.stream.push(wav))
        return True

    def _deliver(self, wav: Wave) -> None:
        """Queue for playing, each sample at the position of the one that it was made from: (n,)."""
        while len(wav):
            position, count = self._positions.popleft()
            part, wav = wav[:count], wav[count:]
            self.playout.put(position, part)
            if len(part) < count:
                self._positions.appendleft((position + len(part), count - len(part)))

    def _run(self) -> None:
        try:
            while True:
                if self.convert_next():
                    continue
                with self._wakeup:
                    self._wakeup.wait_for(lambda: self._blocks or self._ended)
                    if self._ended and not self._blocks:
                        break
            self._deliver(self.stream.flush())
        except Exception as error:  # raised where blocks are exchanged
            self._error = error


def run_devices(
    stream: Stream,
    *,
    source: str | int | None = None,
    out: str | int | None = None,
    slack_seconds: float = 0.05,
    wait: Callable[[], object] | None = None,
) -> int:
    """Run a stream from a microphone to a loudspeaker until `wait` returns: -> samples that came too late.

    Args:
        stream: converts.
        source: name or number of the device to record from; the system's own by default.
        out: of the device to play on.
        slack_seconds: as in `StreamWorker`.
        wait: returns when it is enough; by default when the devices stop, as when one is unplugged. An interruption
            ends it too.

    Raises:
        Exception: whatever ended the stream.
        ConfigError: without the sounddevice library, or for a device that is not there or refuses the sample rate.
    """
    sound = require_sounddevice()
    stopped = threading.Event()
    with StreamWorker(stream, slack_seconds) as worker:

        def exchange(recorded: NDArray[Any], played: NDArray[Any], *_: object) -> None:
            try:
                played[:, 0] = worker.exchange(recorded[:, 0])
            except Exception:  # `raise_error` raises it again in the caller's thread, where it can be read
                raise sound.CallbackAbort from None

        try:
            with (
                sound.Stream(
                    samplerate=stream.sample_rate,
                    blocksize=round(_BLOCK_SECONDS * stream.sample_rate),
                    device=(source, out),
                    channels=1,
                    dtype="float32",
                    latency="low",
                    callback=exchange,
                    finished_callback=stopped.set,
                ),
                suppress(KeyboardInterrupt),
            ):  # the usual end
                (wait or stopped.wait)()
        except (sound.PortAudioError, ValueError) as error:
            raise ConfigError(f"sound device: {error}; see voiceae live --devices") from None
    worker.raise_error()
    return worker.playout.missed


def devices() -> str:
    """Table of the sound devices of this machine.

    Raises:
        ConfigError: without the sounddevice library.
    """
    return str(require_sounddevice().query_devices())


def require_sounddevice() -> ModuleType:
    """Import sounddevice, or refuse with one line that says how to install it.

    Raises:
        ConfigError: without it, or without the PortAudio library that it plays through.
    """
    try:
        import sounddevice
    except ImportError:
        raise ConfigError("voiceae live needs the sounddevice library: pip install 'voiceae[live]'") from None
    except OSError as error:  # it is there, PortAudio is not
        raise ConfigError(
            f"voiceae live needs the PortAudio library ({error}): apt install libportaudio2"
        ) from None
    module: ModuleType = sounddevice
    return module
