"""A stream between sound devices: in every block as many samples out as in, computed beside the devices' thread."""

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

_BLOCK_SECONDS = 0.02
_FADE_SECONDS = 0.005  # a few periods of a voice: no click, and no syllable lost
_DRIFT_SECONDS = 0.03  # more than the 20 ms that a block comes early or late by, less than the usual slack
_MOST_WAITING_SECONDS = 1.0  # a stream that catches up at a third of real time is back within half a second


class Playout:
    """The samples of a stream, each at its moment: a fixed time after it was heard, or never.

    What is not there when its moment comes is silence, faded into and out of, and counted; it is not played later, so
    that one stall does not delay all that follows. Where the clock of the loudspeaker and that of the microphone drift
    apart, the playing position is brought back now and then, across a short cross-fade.

    Args:
        delay: samples between hearing and playing.
        sample_rate: of both sides.

    Attributes:
        missed: samples that came too late, or never.
    """

    def __init__(self, delay: int, sample_rate: int) -> None:
        self.delay, self.missed = delay, 0
        self._fade = round(_FADE_SECONDS * sample_rate)
        self._tolerance = round(_DRIFT_SECONDS * sample_rate)
        self._parts: deque[tuple[int, Wave]] = deque()  # place of the first sample, samples; in order
        self._lock = threading.Lock()
        self._heard = 0
        self._next = -delay  # place of the sample that is played next
        self._last = np.zeros(self._fade, np.float32)  # that was played
        self._mirror = self._last  # what leads from it into silence
        self._gap = 0  # samples of silence so far, 0 while something is played
        self._risen = self._fade  # samples played since a gap

    @property
    def held(self) -> int:
        """Samples that wait."""
        with self._lock:
            return sum(len(part) for _, part in self._parts)

    def hear(self, count: int) -> int:
        """So many samples came from the microphone: -> the place of the first."""
        with self._lock:
            self._heard += count
            return self._heard - count

    def put(self, place: int, wav: Wave) -> None:
        """What became of the samples that were heard from a place on: (n,)."""
        with self._lock:
            if place + len(wav) > self._next - self._tolerance:
                self._parts.append((place, wav))

    def take(self, count: int) -> Wave:
        """What is played next: -> (count,)."""
        with self._lock:
            late = self._heard - count - self.delay - self._next
            if abs(late) <= self._tolerance:
                return self._play(count)
            left = self._read(self._next, min(self._fade, count))[0]
            self._next += late
            out = self._play(count)
            share = np.linspace(0, 1, len(left), dtype=np.float32)
            out[: len(left)] = share * out[: len(left)] + (1 - share) * left
            return out

    def _play(self, count: int) -> Wave:
        """Samples from the playing position on, with fades around what is missing."""
        out, there = self._read(self._next, count)
        self._next += count
        while self._parts and self._parts[0][0] + len(self._parts[0][1]) <= self._next - 2 * self._tolerance:
            self._parts.popleft()
        bounds = np.flatnonzero(np.diff(there)) + 1
        for run in np.split(np.arange(count), bounds):
            start, stop = int(run[0]), int(run[-1]) + 1
            if there[start]:
                self._rise(out[start:stop])
            else:
                self._fall(out[start:stop], self._last if not start else out[:start])
        self._last = np.concatenate((self._last, out))[-self._fade :]
        return out

    def _rise(self, wav: Wave) -> None:
        """Fade in after a gap; in place."""
        rising = wav[: max(0, self._fade - self._risen)]
        rising *= (self._risen + np.arange(len(rising), dtype=np.float32)) / self._fade
        self._risen += len(rising)
        self._gap = 0

    def _fall(self, wav: Wave, before: Wave) -> None:
        """Fade into silence by the mirror image of what was played before; in place."""
        if not self._gap:
            self._mirror = np.concatenate((self._last, before))[-self._fade :][::-1] * np.linspace(
                1, 0, self._fade, dtype=np.float32
            )
        mirrored = self._mirror[self._gap : self._gap + len(wav)]
        wav[: len(mirrored)] = mirrored
        self._gap += len(wav)
        self._risen = 0
        self.missed += len(wav)

    def _read(self, place: int, count: int) -> tuple[Wave, NDArray[np.bool_]]:
        """Samples and whether they are there; before the first one it is silent, and nothing missing."""
        out, there = np.zeros(count, np.float32), np.zeros(count, bool)
        there[: max(0, -place)] = True
        for first, part in self._parts:
            start, stop = max(place, first), min(place + count, first + len(part))
            if start < stop:
                out[start - place : stop - place] = part[start - first : stop - first]
                there[start - place : stop - place] = True
        return out, there


class StreamWorker:
    """Feeds a stream in a thread of its own.

    Args:
        stream: what speaks.
        slack_seconds: waiting beyond the stream's own; the longer, the longer a step may take.
    """

    def __init__(self, stream: Stream, slack_seconds: float = 0.05) -> None:
        self.stream = stream
        slack = round(slack_seconds * stream.sample_rate)
        self.playout = Playout(stream.latency_samples + slack, stream.sample_rate)
        self._most_waiting = slack + round(_MOST_WAITING_SECONDS * stream.sample_rate)
        self._blocks: deque[tuple[int, Wave]] = deque()  # that wait, with their places
        self._waiting = 0
        self._turn = threading.Condition()
        self._places: deque[tuple[int, int]] = deque()  # of what is in the stream: place, samples
        self._ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> StreamWorker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._ended = True
            self._turn.notify()
        self._thread.join()

    def exchange(self, wav: Wave) -> Wave:
        """A block from the microphone in, one as long for the loudspeaker out; never waits: (n,) -> (n,).

        Raises:
            Exception: whatever ended the thread.
        """
        self.hear(wav)
        return self.playout.take(len(wav))

    def hear(self, wav: Wave) -> None:
        """A block from the microphone: (n,); what has waited for too long to be spoken in time is forgotten.

        Raises:
            Exception: whatever ended the thread.
        """
        self.require_health()
        if not len(wav):
            return
        place = self.playout.hear(len(wav))
        with self._turn:
            self._blocks.append((place, wav.copy()))
            self._waiting += len(wav)
            if self._waiting > self._most_waiting:  # all but the newest: one gap rather than many
                self._blocks = deque([self._blocks[-1]])
                self._waiting = len(wav)
            self._turn.notify()

    def require_health(self) -> None:
        """Say what ended the thread.

        Raises:
            Exception: that did.
        """
        if self._error is not None:
            raise self._error

    def work(self) -> bool:
        """Let the stream have the oldest block that waits: -> whether there was one."""
        with self._turn:
            if not self._blocks:
                return False
            place, wav = self._blocks.popleft()
            self._waiting -= len(wav)
        self._places.append((place, len(wav)))
        self._hand_on(self.stream.push(wav))
        return True

    def _hand_on(self, wav: Wave) -> None:
        """To the loudspeaker, each sample at the place of the one that it was made from: (n,)."""
        while len(wav):
            place, count = self._places.popleft()
            part, wav = wav[:count], wav[count:]
            self.playout.put(place, part)
            if len(part) < count:
                self._places.appendleft((place + len(part), count - len(part)))

    def _work(self) -> None:
        try:
            while True:
                if self.work():
                    continue
                with self._turn:
                    self._turn.wait_for(lambda: self._blocks or self._ended)
                    if self._ended and not self._blocks:
                        break
            self._hand_on(self.stream.flush())
        except Exception as error:  # said where blocks are exchanged
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
        stream: what speaks.
        source: name or number of the device to hear; the system's own by default.
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
    with StreamWorker(stream, slack_seconds) as relay:

        def exchange(profile: NDArray[Any], played: NDArray[Any], *_: object) -> None:
            try:
                played[:, 0] = relay.exchange(profile[:, 0])
            except (
                Exception
            ):  # it is raised again where it can be read: the device's thread has nobody to tell
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
    relay.require_health()
    return relay.playout.missed


def devices() -> str:
    """A table of the sound devices there are.

    Raises:
        ConfigError: without the sounddevice library.
    """
    return str(require_sounddevice().query_devices())


def require_sounddevice() -> ModuleType:
    """The library, or one line that says how to get it.

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
