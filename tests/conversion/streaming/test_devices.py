from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tiny import SPEC
from voiceae.conversion.streaming import devices as stream_device
from voiceae.conversion.streaming.devices import StreamWorker, run_devices
from voiceae.errors import ConfigError


class Late:
    """A stream that gives back what it was given, 300 samples later."""

    latency_samples, sample_rate = 300, SPEC.sample_rate

    def __init__(self) -> None:
        self.held = np.zeros(0, np.float32)

    def push(self, wav: np.ndarray) -> np.ndarray:
        held = np.concatenate((self.held, wav))
        ready = max(0, len(held) - 300)
        self.held = held[ready:]
        return held[:ready]

    def flush(self) -> np.ndarray:
        return self.held


class Conversation:
    """A microphone that says 1, 2, 3, ... and a loudspeaker that remembers, on a clock that the test turns.

    Args:
        slack: samples.
        block: samples of the microphone and of the loudspeaker each tick.
    """

    def __init__(self, slack: int = 1102, block: tuple[int, int] = (441, 441)) -> None:
        self.worker = StreamWorker(Late(), slack_seconds=slack / SPEC.sample_rate)  # type: ignore[arg-type]
        self.delay, self.block = 300 + slack, block
        self.said, self.blocks = 0, [np.zeros(0, np.float32)]

    @property
    def played(self) -> np.ndarray:
        return np.concatenate(self.blocks)

    def tick(self, count: int = 1, works: bool = True) -> None:
        for _ in range(count):
            said, played = self.block
            self.worker.record(np.arange(self.said + 1, self.said + said + 1, dtype=np.float32))
            self.said += said
            while works and self.worker.convert_next():
                pass
            self.blocks.append(self.worker.playout.take(played))

    def delays(self, last: int) -> np.ndarray:
        """How late each of the last samples was played."""
        played = self.played
        return np.arange(len(played) - last, len(played)) + 1 - played[-last:]


def test_every_sample_is_played_at_its_moment() -> None:
    talk = Conversation()
    talk.tick(100)
    assert not talk.played[: talk.delay].any() and talk.worker.playout.missed == 0
    np.testing.assert_array_equal(
        talk.played[talk.delay :], np.arange(1, len(talk.played) - talk.delay + 1, dtype=np.float32)
    )


@pytest.mark.parametrize(("stalls", "ticks"), [(1, 25), (10, 25), (3, 3), (2, 200)])
def test_a_stall_delays_nothing_that_follows(stalls: int, ticks: int) -> None:
    """Of 60 ms, half a second (ten times over) and 4 s: what came too late is dropped, not played later."""
    talk = Conversation()
    talk.tick(50)
    for _ in range(stalls):
        talk.tick(ticks, works=False)
        talk.tick(50)
        assert set(talk.delays(20 * 441)) == {talk.delay}
    lost = ticks * 441 - 1102  # a stall that long with so much slack
    if ticks * 441 < 22050:
        assert talk.worker.playout.missed == stalls * lost
    else:  # what waited for longer than a second is never spoken
        assert talk.worker.playout.missed >= stalls * lost
    assert talk.worker.playout.waiting <= talk.delay + 0.06 * SPEC.sample_rate + 2 * 441


def test_a_gap_is_faded_into_and_out_of() -> None:
    talk = Conversation()
    level = 0.5 * np.ones(441, np.float32)
    for tick in range(60):
        talk.worker.record(level)
        while not 20 <= tick < 40 and talk.worker.convert_next():
            pass
        talk.blocks.append(talk.worker.playout.take(441))
    assert (talk.played[talk.delay :] == 0).sum() > 5000
    steps = np.abs(np.diff(talk.played[talk.delay :]))
    assert steps.max() < 0.5 / 100  # 5 ms are 110 samples


def test_what_waits_is_bounded_when_nobody_works() -> None:
    talk = Conversation()
    talk.tick(5000, works=False)
    assert sum(len(wav) for _, wav in talk.worker._blocks) <= 1102 + SPEC.sample_rate + 441
    talk.tick(20)
    assert set(talk.delays(2 * 441)) == {talk.delay}


@pytest.mark.parametrize("block", [(441, 440), (440, 441), (882, 441)])
def test_clocks_that_drift_apart_neither_pile_up_nor_run_dry(block: tuple[int, int]) -> None:
    """One side 0.2 % faster than the other for 100 s, and a microphone twice as fast."""
    talk = Conversation(block=block)
    talk.tick(5000)
    gone = (
        talk.said - talk.played[talk.played > 0][-1]
    )  # how old what is played is, by the microphone's clock
    assert abs(gone - talk.delay) <= 0.03 * SPEC.sample_rate + 2 * 882
    assert talk.worker.playout.waiting < talk.delay + 4 * 882
    assert talk.worker.playout.missed < 0.01 * len(talk.played)
    assert (np.diff(talk.played[talk.delay + 300 :]) < 0).mean() < 0.01


def test_a_stream_that_stalls_in_its_thread_is_on_time_again() -> None:
    """The thread itself, held up in the middle of a step for 40 blocks, while the devices go on."""

    class Stalling(Late):
        def __init__(self) -> None:
            super().__init__()
            self.free = threading.Event()
            self.free.set()

        def push(self, wav: np.ndarray) -> np.ndarray:
            self.free.wait()
            return super().push(wav)

    def settle(worker: StreamWorker) -> None:
        hang_guard = time.monotonic() + 600
        while worker._backlog or (worker._positions and worker._positions[0][0] < said - 300 - 441):
            assert time.monotonic() < hang_guard
            time.sleep(0.001)

    stream, said, played = Stalling(), 0, []
    with StreamWorker(stream, slack_seconds=0.05) as worker:  # type: ignore[arg-type]
        for tick in range(120):
            if tick in (40, 80):
                stream.free.clear() if tick == 40 else stream.free.set()
            block = np.arange(said + 1, said + 442, dtype=np.float32)
            said += 441
            worker.record(block)
            if stream.free.is_set():
                settle(worker)
            played.append(worker.playout.take(441))
    everything = np.concatenate(played)
    delay = 300 + 1102
    times = np.arange(len(everything)) + 1
    late = (times - everything)[everything > 0]
    assert set(late[-20 * 441 :]) == {delay}
    assert worker.playout.missed == 40 * 441 - 1102


def test_what_fails_in_the_thread_is_said_outside() -> None:
    class Failing(Late):
        def push(self, wav: np.ndarray) -> np.ndarray:
            raise RuntimeError("broken")

    hang_guard = time.monotonic() + 600
    with StreamWorker(Failing()) as worker, pytest.raises(RuntimeError, match="broken"):  # type: ignore[arg-type]
        while time.monotonic() < hang_guard:
            worker.exchange(np.zeros(10, np.float32))
            time.sleep(0.01)


class Devices:
    """Stands for the sounddevice library: a microphone that says 1, 2, 3, ... and a loudspeaker that remembers."""

    PortAudioError = type("PortAudioError", (Exception,), {})
    CallbackAbort = type("CallbackAbort", (Exception,), {})

    def __init__(self, settled: Callable[[int], object] = lambda samples: None) -> None:
        self.settled = settled  # waits until so many samples were dealt with
        self.played: list[np.ndarray] = []

    def query_devices(self) -> str:
        return "> 0 a microphone"

    def Stream(
        self, *, blocksize: int, callback: Any, finished_callback: Any, device: Any, **_: object
    ) -> Any:
        if device[0] == "nobody":
            raise ValueError("No input device matching 'nobody'")

        class Open:
            def __enter__(inner) -> None:
                for index in range(20):
                    profile = np.arange(index * blocksize, (index + 1) * blocksize, dtype=np.float32)[:, None]
                    played = np.zeros((blocksize, 1), np.float32)
                    try:
                        callback(profile + 1, played, blocksize, None, None)
                    except self.CallbackAbort:
                        break
                    self.played.append(played[:, 0])
                    self.settled((index + 1) * blocksize)
                finished_callback()

            def __exit__(inner, *_: object) -> None:
                pass

        return Open()


class Counting(Late):
    """Tells how many samples it was given."""

    pushed = 0

    def push(self, wav: np.ndarray) -> np.ndarray:
        out = super().push(wav)
        self.pushed += len(wav)
        return out

    def settled(self, samples: int) -> None:
        hang_guard = time.monotonic() + 600
        while self.pushed < samples:
            assert time.monotonic() < hang_guard
            time.sleep(0.001)


def test_between_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Counting()
    library = Devices(stream.settled)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    missed = run_devices(stream, slack_seconds=0.2)  # type: ignore[arg-type]
    played = np.concatenate(library.played)
    silence = 300 + round(0.2 * SPEC.sample_rate)
    assert missed == 0 and not played[:silence].any()
    np.testing.assert_array_equal(played[silence:], np.arange(1, len(played) - silence + 1))
    assert "microphone" in stream_device.devices()
    with pytest.raises(ConfigError, match="nobody"):
        run_devices(Late(), source="nobody", wait=lambda: None)  # type: ignore[arg-type]


def test_a_stream_that_fails_between_devices_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Late):
        def push(self, wav: np.ndarray) -> np.ndarray:
            raise RuntimeError("broken")

    monkeypatch.setitem(sys.modules, "sounddevice", Devices(lambda _: time.sleep(0.02)))
    with pytest.raises(RuntimeError, match="broken"):
        run_devices(Failing())  # type: ignore[arg-type]


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace())
    assert stream_device.require_sounddevice() is not None
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match=r"pip install 'voiceae\[live\]'"):
        stream_device.require_sounddevice()
