"""Level and silence of a stream: what `normalise` and `restore_level` do for a whole recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.loudness import MAX_GAIN_DB, TARGET_DBFS
from voiceae.specs import AudioSpec

Wave = NDArray[np.float32]

_HANG_SECONDS = 0.15  # after the last loud hop: reverberation and soft endings
_PAUSE_SECONDS = 0.5  # what is longer is no pause of speech, and says nothing of the speaker
_EARLY_HOPS = 2  # before the first one: soft onsets
_GATE_POWER = 0.1  # of the mean: what lies below is a pause, as in `active_power`
_TINY_POWER = 1e-12


class NoiseGate:
    """Which samples of the input are worth an answer.

    Args:
        spec: gives the hop that powers are taken over.
        gate_dbfs: threshold.
    """

    def __init__(self, spec: AudioSpec, gate_dbfs: float) -> None:
        self._hop = spec.hop_length
        self._threshold = 10 ** (gate_dbfs / 10)
        self._hang = round(_HANG_SECONDS * spec.frame_rate)
        self._pause = round(_PAUSE_SECONDS * spec.frame_rate)
        self._rest = np.zeros(0, np.float32)
        self._since = self._pause + 1  # hops since the last loud one
        self._open: list[bool] = []  # of hops, from `_first`
        self._first = 0
        self.open_powers: list[float] = []
        self.closed_hops = self._pause + 1

    @property
    def is_speech(self) -> bool:
        """Whether the last block is speech or a pause within it."""
        return self._since <= self._pause

    def update(self, block: Wave) -> None:
        """(n,); sets `open_powers`, of the hops that it completes and that count."""
        wav = np.concatenate((self._rest, block))
        self._rest = wav[len(wav) // self._hop * self._hop :]
        moving = zip(_powers(wav, self._hop), _means(wav, self._hop), strict=True)
        self.open_powers = [
            power for power, mean in moving if self._judge(power - mean**2 > self._threshold)
        ]  # a microphone's offset is no sound

    def _judge(self, loud: bool) -> bool:
        """Whether a hop is loud or follows a loud one; opens the hops before a loud one too."""
        self._since = 0 if loud else self._since + 1
        is_open = self._since <= self._hang
        self._open.append(is_open)
        if loud:
            self._open[-1 - _EARLY_HOPS :] = [True] * len(self._open[-1 - _EARLY_HOPS :])
        self.closed_hops = 0 if is_open else self.closed_hops + 1
        return is_open

    def envelope(self, start: int, count: int) -> Wave:
        """Factor for some samples, 0 where the gate is closed: -> (count,); forgets what lies before them.

        It rises within the first open hop and falls within the last one, so that closed hops are exactly 0.
        """
        if not count:
            return np.zeros(0, np.float32)
        first, last = start // self._hop, (start + count - 1) // self._hop
        del self._open[: max(0, first - 1 - self._first)]
        self._first = max(self._first, first - 1)
        factors = [self._hop_envelope(hop) for hop in range(first, last + 1)]
        return np.concatenate(factors)[start - first * self._hop :][:count]

    def _hop_envelope(self, hop: int) -> Wave:
        before, now, after = (self._is_open(each) for each in (hop - 1, hop, hop + 1))
        if not now:
            return np.zeros(self._hop, np.float32)
        rise = np.linspace(0, 1, self._hop, dtype=np.float32)
        factor = np.ones(self._hop, np.float32)
        factor = factor if before else factor * rise
        return factor if after else factor * rise[::-1]

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
        self._source, self._result = _ActivePower(memory), _ActivePower(memory)
        self._factor: float | None = None

    def update(self, powers: list[float]) -> np.float32:
        """Gain that brings hops of such powers to the common level."""
        for power in powers:
            self._source.add(power)
        level = self._source.value
        if level is None:
            return np.float32(1.0)
        gain_db = min(TARGET_DBFS - 10 * np.log10(level), MAX_GAIN_DB)
        return np.float32(10 ** (gain_db / 20))

    def restore(self, wav: Wave) -> Wave:
        """As loud as the source, and within full scale: (n,) -> (n,)."""
        for power in _powers(wav, self._hop):
            if power > _TINY_POWER:
                self._result.add(power)
        wanted, came = self._source.value, self._result.value
        if wanted is None or came is None or not len(wav):
            return wav
        factor = float(np.sqrt(wanted / came))
        loudest = float(np.abs(wav).max())
        factor = min(factor, 1.0 / loudest) if loudest > 0 else factor
        before, self._factor = self._factor or factor, factor
        return wav * np.linspace(before, factor, len(wav), dtype=np.float32)


class _ActivePower:
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
        """None before anything was heard."""
        return max(self._active, _TINY_POWER) if self._n_active else None

    def add(self, power: float) -> None:
        """One power."""
        self._n_all = min(self._n_all + 1, self._memory)
        self._all += (power - self._all) / self._n_all
        if power >= _GATE_POWER * self._all:
            self._n_active = min(self._n_active + 1, self._memory)
            self._active += (power - self._active) / self._n_active


def _powers(wav: Wave, hop: int) -> list[float]:
    """Of whole hops: (n,) -> n // hop numbers."""
    whole = len(wav) // hop * hop
    powers: list[float] = np.square(wav[:whole].reshape(-1, hop)).mean(axis=1, dtype=np.float64).tolist()
    return powers


def _means(wav: Wave, hop: int) -> list[float]:
    """Of whole hops: (n,) -> n // hop numbers."""
    whole = len(wav) // hop * hop
    means: list[float] = wav[:whole].reshape(-1, hop).mean(axis=1, dtype=np.float64).tolist()
    return means
