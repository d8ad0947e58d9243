"""Harmonics of a fundamental, and noise, with numpy alone.

What is computed, and why, is told in `voiceae.vocoders.excitation`, which runs on torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceae.specs import AudioSpec

_Floats = NDArray[np.float32]

_EIGHT = 8  # torch draws normal numbers sixteen at a time


def twister(seed: int) -> np.random.MT19937:
    """What `torch.Generator().manual_seed(seed)` is."""
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)  # the twister's authors' own, where numpy's new one mixes the seed first
    return generator


def uniform(generator: np.random.MT19937, shape: tuple[int, ...]) -> _Floats:
    """What `torch.rand` gives: the low 24 bits of each number."""
    drawn = generator.random_raw(int(np.prod(shape))) & np.uint64(0xFFFFFF)
    return (drawn.astype(np.float32) * np.float32(2**-24)).reshape(shape)


def normal(generator: np.random.MT19937, count: int) -> _Floats:
    """What `torch.randn` gives, (count,), of a multiple of 16: the method of Box and Muller."""
    assert count % (2 * _EIGHT) == 0, f"{count}: torch draws other numbers for what is left of sixteen"
    drawn = uniform(generator, (count // (2 * _EIGHT), 2, _EIGHT))
    radius = np.sqrt(-2 * np.log(1 - drawn[:, 0]))
    angle = np.float32(2 * np.pi) * drawn[:, 1]
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1).ravel()


Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Spectra = NDArray[np.complex64]

_NOISE_SAMPLES = 1 << 17
_ROOM_ABOVE = 1.1


class Excitation:
    """Spectra of a flat harmonic series and of white noise: f0 (T,) Hz -> two (T, F), complex.

    Args:
        spec: the mel contract.
        seed: of the noise.
    """

    def __init__(self, spec: AudioSpec, seed: int = 0) -> None:
        self.spec = spec
        window = spec.window()
        self.window = window.astype(np.float32)
        self._scaled = (window * math.sqrt(spec.n_fft)).astype(np.float32)
        self._noise = normal(twister(seed), _NOISE_SAMPLES)

    def __call__(self, f0: Floats, turns: float, first: int) -> tuple[Spectra, Spectra]:
        """Spectra of harmonics and of noise.

        Args:
            f0: (T,) Hz at the centres of the frames.
            turns: phase at the first of them.
            first: number of the first frame in its utterance.
        """
        wave = self.harmonics(f0, turns)
        steps = np.arange(len(wave)) + first * self.spec.hop_length
        return self._spectra(wave), self._spectra(self._noise[steps % _NOISE_SAMPLES])

    def harmonics(self, f0: Floats, turns: float = 0.0) -> Floats:
        """Flat harmonic series over the samples that the frames hear: (T,) -> ((T - 1) * hop + n_fft,)."""
        hop, rate, n_fft = self.spec.hop_length, self.spec.sample_rate, self.spec.n_fft
        margin = math.ceil(n_fft / (2 * hop))
        wide = np.pad(f0, margin, mode="edge")
        phase = self.advance(wide)
        phase += turns - phase[margin]
        step = np.arange(hop, dtype=np.float64)
        left, slope = wide[:-1, None].astype(np.float64), np.diff(wide)[:, None].astype(np.float64) / hop
        cycles = (phase[:-1, None] + (left * step + 0.5 * slope * step**2) / rate).ravel()
        pitch = (left + slope * step).ravel().astype(np.float32)
        skipped = margin * hop - n_fft // 2
        return self._series(cycles, pitch)[skipped : skipped + (len(f0) - 1) * hop + n_fft]

    def advance(self, f0: Floats) -> Doubles:
        """Turns from the first frame to each: (T,) Hz -> (T,)."""
        per_frame = self.spec.hop_length / self.spec.sample_rate
        between = (np.float32(0.5) * (f0[1:] + f0[:-1])).astype(np.float64) * per_frame
        return np.concatenate((np.zeros(1), between.cumsum()))

    def overlap_add(self, spectra: Spectra) -> Floats:
        """Wave whose frames come nearest to the spectra: (T, F) -> ((T - 1) * hop + n_fft,); divide it by `cover`."""
        frames = np.fft.irfft(spectra, n=self.spec.n_fft).astype(np.float32, copy=False)
        return self._added(frames * self.window)

    def cover(self, frames: int) -> Floats:
        """Sum of the squared windows of so many frames: -> ((frames - 1) * hop + n_fft,)."""
        return self._added(np.broadcast_to(self.window**2, (frames, self.spec.n_fft)))

    def _series(self, cycles: Doubles, f0: Floats) -> Floats:
        """Sum of equal cosines up to the mel's upper edge, by Dirichlet's kernel."""
        top = np.float32(min(_ROOM_ABOVE * self.spec.f_max, self.spec.sample_rate / 2))
        count = np.maximum(np.floor(top / f0), np.float32(1))
        angle = np.float32(2 * np.pi) * (cycles - np.rint(cycles)).astype(np.float32)
        below = np.sin(np.float32(0.5) * angle)
        near = np.abs(below) < 1e-4
        most = count + np.float32(0.5)
        ratio = np.sin(most * angle) / (2 * np.where(near, np.float32(1), below))
        return (np.where(near, most, ratio) - np.float32(0.5)) * np.sqrt(2 / count)

    def _spectra(self, wave: Floats) -> Spectra:
        """An orthonormal transform and a scaled window: numpy takes the usual norm's in long doubles."""
        frames = sliding_window_view(wave, self.spec.n_fft)[:: self.spec.hop_length]
        return np.fft.rfft(frames * self._scaled, norm="ortho").astype(np.complex64, copy=False)

    def _added(self, frames: Floats) -> Floats:
        """Overlapping frames added up: (T, n_fft) -> ((T - 1) * hop + n_fft,)."""
        hop, count, n_fft = self.spec.hop_length, len(frames), self.spec.n_fft
        overlap = -(-n_fft // hop)
        parts = np.pad(frames, ((0, 0), (0, overlap * hop - n_fft))).reshape(count, overlap, hop)
        out = np.zeros((count + overlap - 1, hop), np.float32)
        for shift in range(overlap):
            out[shift : shift + count] += parts[:, shift]
        return out.ravel()[: (count - 1) * hop + n_fft]
