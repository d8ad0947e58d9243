"""Another channel for a recording: microphone and line as an equaliser and a band, noise, and a lossy codec.

Deterministic but for the noise: what is drawn is a channel, which many recordings then go through.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wav = NDArray[np.float32]

EQUALISER_HERTZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Octave bands, whose gains are interpolated on the logarithm of the frequency."""

# What cheap microphones and rooms do to a long-term spectrum: some dB an octave band, hardly ever 12.
GAIN_DEVIATION_DB = 4.0
LOW_HERTZ, HIGH_HERTZ = (60.0, 200.0), (5000.0, 7500.0)  # from a lapel microphone to wideband telephony
SLOPE_ORDER = 4  # of the Butterworth slopes at both ends of the band: 24 dB an octave
SIGNAL_TO_NOISE_DB = (20.0, 35.0)  # of what people record at home
# libsndfile's level, 0 to 1: measured on 16 kHz speech .5 gives 33 kbit/s and .9 gives 22. MP3 rather than Opus, which
# takes twice the time.
MP3_COMPRESSION = (0.5, 0.9)


@dataclass(frozen=True, kw_only=True)
class TransmissionChannel:
    """A channel that recordings go through, the same for all of them.

    Attributes:
        gains_db: of the equaliser at `EQUALISER_HERTZ`.
        low_hertz: where the band begins, at -3 dB.
        high_hertz: where it ends, at -3 dB.
        signal_to_noise_db: of white noise, by the power of the whole recording.
        mp3_compression: libsndfile's level, from 0 (best) to 0.9 (smallest).
    """

    gains_db: tuple[float, ...]
    low_hertz: float
    high_hertz: float
    signal_to_noise_db: float
    mp3_compression: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> TransmissionChannel:
        """A channel at random, within what is found in the field."""
        gains = rng.normal(0, GAIN_DEVIATION_DB, len(EQUALISER_HERTZ))
        return cls(
            gains_db=tuple(round(float(gain), 2) for gain in gains),
            low_hertz=round(float(rng.uniform(*LOW_HERTZ)), 1),
            high_hertz=round(float(rng.uniform(*HIGH_HERTZ)), 1),
            signal_to_noise_db=round(float(rng.uniform(*SIGNAL_TO_NOISE_DB)), 2),
            mp3_compression=round(float(rng.uniform(*MP3_COMPRESSION)), 3),
        )

    def gain(self, hertz: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Amplitude of a sine behind equaliser and band, before noise and codec: (F,) Hz -> (F,)."""
        hertz = np.maximum(hertz, 1e-3)  # at 0 Hz nothing passes
        level_db = np.interp(np.log(hertz), np.log(EQUALISER_HERTZ), self.gains_db)
        order = 2 * SLOPE_ORDER
        band = (1 + (self.low_hertz / hertz) ** order) * (1 + (hertz / self.high_hertz) ** order)
        return np.asarray(10 ** (level_db / 20) / np.sqrt(band))

    def apply(self, wav: Wav, sample_rate: int, rng: np.random.Generator) -> Wav:
        """Send a recording through: (N,) -> (N,), in step with it.

        Args:
            wav: full scale 1; the result is turned down where it would be beyond.
            sample_rate: Hz, one that MP3 knows: 16, 22.05 or 24 kHz, or half or twice that.
            rng: of the noise.
        """
        # A filter without phase over the whole recording, so that nothing moves in time.
        hertz = np.fft.rfftfreq(len(wav), 1 / sample_rate)
        filtered = np.fft.irfft(np.fft.rfft(wav.astype(np.float64)) * self.gain(hertz), len(wav))
        power = float(np.mean(filtered**2)) * 10 ** (-self.signal_to_noise_db / 10)
        noisy = filtered + np.sqrt(power) * rng.standard_normal(len(wav))
        noisy /= max(1.0, float(np.abs(noisy).max()))
        return mp3_round_trip(noisy.astype(np.float32), sample_rate, self.mp3_compression)


def mp3_round_trip(wav: Wav, sample_rate: int, compression: float) -> Wav:
    """Encode as MP3 and decode again, in memory: (N,) -> (N,), in step."""
    import soundfile

    memory = io.BytesIO()
    soundfile.write(memory, wav, sample_rate, format="MP3", compression_level=compression)
    memory.seek(0)
    decoded = soundfile.read(memory, dtype="float32")[0]
    # The decoder takes its delay off; the last frame may still be short or filled up.
    return np.pad(decoded, (0, max(0, len(wav) - len(decoded))))[: len(wav)].astype(np.float32)
