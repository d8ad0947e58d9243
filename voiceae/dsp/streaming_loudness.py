"""Noise gate and level of a stream: what `normalise` and `restore_level` do for a whole recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.loudness import GATE_DB, normalising_gain_db
from voiceae.specs import AudioSpec

Wave = NDArray[np.float32]

_HANG_SECONDS = 0.15  # the gate stays open after the last loud hop: reverberation and soft endings
_PAUSE_SECONDS = 0.5  # what is longer is no pause of speech, and says nothing of the speaker
_ONSET_HOPS = 2  # opened before the first loud hop: soft onsets
_GATE = 10 ** (-GATE_DB / 10)  # of the mean power: what lies below is a pause, as in `active_power`
_TINY_POWER = 1e-12  # -120 dB, the rounding of 20 bits; what is quieter is no sound of the vocoder


class NoiseGate:
    """Which samples of the input are worth an answer.

    Args:
        spec: gives the hop that powers are taken over.
        gate_dbfs: threshold.

    Attributes:
        open_powers: of the hops that the last block completed and that lie in speech or its hang.
        closed_hops: how many closed hops there are since the last open one.
    """

    def __init__(self, spec: AudioSpec, gate_dbfs: float) -> None:
        self._hop = spec.hop_length
        self._threshold = 10 ** (gate_dbfs / 10)
        self._hang = round(_HANG_SECONDS * spec.frame_rate)
        self._pause = round(_PAUSE_SECONDS * spec.frame_rate)
        self._rest = np.zeros(0, np.float32)
        self._hops_since_loud = self._pause + 1
        self._open: list[bool] = []  # of hops, from `_first`
        self._first = 0
        self.open_powers: list[float] = []
        self.closed_hops = self._pause + 1

    @property
    def is_speech(self) -> bool:
        """Whether the last block is speech or a pause within it."""
        return self._hops_since_loud <= self._pause

    def update(self, block: Wave) -> None:
        """Open or close for the hops that a block completes: (n,)."""
        wav = np.concatenate((self._rest, block))
        hops = _hops(wav, self._hop)
        self._rest = wav[hops.size :]
        self.open_powers = []
        means = hops.mean(axis=1, dtype=np.float64).tolist()
        for power, mean in zip(_powers(hops), means, strict=True):
            loud = power - mean**2 > self._threshold  # a microphone's offset is no sound
            self._hops_since_loud = 0 if loud else self._hops_since_loud + 1
            is_open = self._hops_since_loud <= self._hang
            self._open.append(is_open)
            self.closed_hops = 0 if is_open else self.closed_hops + 1
            if is_open:
                self.open_powers.append(power)
            if loud:
                onset = self._open[-1 - _ONSET_HOPS :]
                self._open[-1 - _ONSET_HOPS :] = [True] * len(onset)

    def envelope(self, start: int, count: int) -> Wave:
        """Factor for some samples, 0 where the gate is closed: -> (count,); forgets what lies before them.

        It rises within the first open hop and falls within the last one, so that closed hops are exactly 0.
        """
        if not count:
            return np.zeros(0, np.float32)
        first, last = start // self._hop, (start + count - 1) // self._hop
        del self._open[: max(0, first - 1 - self._first)]
        self._first = max(self._first, first - 1)
        rise = np.linspace(0, 1, self._hop, dtype=np.float32)
        factors = []
        for hop in range(first, last + 1):
            factor = np.full(self._hop, float(self._is_open(hop)), np.float32)
            if not self._is_open(hop - 1):
                factor *= rise
            if not self._is_open(hop + 1):
                factor *= rise[::-1]
            factors.append(factor)
        return np.concatenate(factors)[start - first * self._hop :][:count]

    def _is_open(self, hop: int) -> bool:
        place = hop - self._first
        return 0 <= place < len(self._open) and self._open[place]


class StreamingLevel:
    """Brings speech to the common level on the way in, and back to the speaker's own on the way out.

    Args:
        spec: gives the hop that powers are taken over.
        memory_seconds: time constant.
    """

    def __init__(self, spec: AudioSpec, memory_seconds: float) -> None:
        self._hop = spec.hop_length
        memory = memory_seconds * spec.frame_rate
        self._source, self._result = _RunningActivePower(memory), _RunningActivePower(memory)
        self._factor: float | None = None

    def update(self, powers: list[float]) -> np.float32:
        """Gain that brings the source to the common level, after hops of such powers more."""
        for power in powers:
            self._source.add(power)
        level = self._source.value
        return np.float32(1.0 if level is None else 10 ** (normalising_gain_db(level) / 20))

    def restore(self, wav: Wave) -> Wave:
        """As loud as the source, and within full scale: (n,) -> (n,)."""
        for power in _powers(_hops(wav, self._hop)):
            if power > _TINY_POWER:
                self._result.add(power)
        source, result = self._source.value, self._result.value
        if source is None or result is None or not len(wav):
            return wav
        factor = float(np.sqrt(source / result))
        peak = float(np.abs(wav).max())
        factor = min(factor, 1.0 / peak) if peak > 0 else factor
        before, self._factor = self._factor or factor, factor
        return wav * np.linspace(before, factor, len(wav), dtype=np.float32)  # no step between two blocks


class _RunningActivePower:
    """Running mean of the powers that are no pauses: a plain one at first, an exponential one later.

    Args:
        memory: how many powers, at most, it is the mean of.
    """

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._all = self._active = 0.0
        self._n_all = self._n_active = 0.0

    @property
    def value(self) -> float | None:
        """Mean power of the active hops; None before the first."""
        return max(self._active, _TINY_POWER) if self._n_active else None

    def add(self, power: float) -> None:
        """Take one more power into the mean."""
        self._n_all = min(self._n_all + 1, self._memory)
        self._all += (power - self._all) / self._n_all
        if power >= _GATE * self._all:
            self._n_active = min(self._n_active + 1, self._memory)
            self._active += (power - self._active) / self._n_active


def _hops(wav: Wave, hop: int) -> Wave:
    """Whole hops: (n,) -> (n // hop, hop)."""
    return wav[: len(wav) // hop * hop].reshape(-1, hop)


def _powers(hops: Wave) -> list[float]:
    """Mean squares: (h, hop) -> h numbers."""
    powers: list[float] = np.square(hops).mean(axis=1, dtype=np.float64).tolist()
    return powers
