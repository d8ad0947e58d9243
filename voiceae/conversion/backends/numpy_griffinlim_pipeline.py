"""Accelerated Griffin-Lim in one pass over the frames, with numpy alone.

Scheme, proof and constants are those of `voiceae.vocoders.griffinlim_pipeline`, which runs on torch: at step `s`,
iteration `k` works on block `s - 2 k`, all iterations at once. Here there is no batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from voiceae.specs import AudioSpec

Wave = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

_TINY = np.float32(1e-15)  # magnitude below which a bin has no phase and stays zero
_LEAST_COVER = 1e-12  # of the squared windows, at the first and last frames
_ROOM = 4  # blocks by which the waves may grow before they are moved back
_HISTORY = 4  # blocks behind the one being made that later iterations still read


def block_frames(spec: AudioSpec) -> int:
    """Frames of a block, as on torch: at least the tail of its last frame."""
    return max(6, -(-spec.n_fft // spec.hop_length) - 1)


class PipelinedGriffinLim:
    """Waves with given magnitudes: blocks of (R, F) -> blocks of (R * hop_length,).

    Fast Griffin-Lim (Perraudin, Balazs and Soendergaard, 2013) on waves; frames are un-centred and the wave is that
    of the reflect-padded signal.

    Args:
        spec: the mel contract; gives transform, window and hop.
        window: (n_fft,), the analysis window.
        shape: (F, T), bins that magnitudes have (the others are zero), frames in the utterance.
        n_iter: iterations after the first phase.
        momentum: 0 is plain Griffin-Lim.
    """

    def __init__(
        self, spec: AudioSpec, window: Wave, shape: tuple[int, int], *, n_iter: int, momentum: float
    ) -> None:
        self.spec, self.n_iter = spec, n_iter
        self.bins, self.frames = shape
        self.hop = spec.hop_length
        self.overlap = -(-spec.n_fft // self.hop)  # hops that a frame touches
        self.rows = block_frames(spec)
        self.blocks = -(-(self.frames + self.overlap - 1) // self.rows)
        self._block = self.rows * self.hop
        self._tail = (self.overlap - 1) * self.hop
        self._decay = np.float32(momentum / (1.0 + momentum))
        self._window = window
        self._set_envelope()
        self._reserve()

    def _set_envelope(self) -> None:
        """Fold the squared-window envelope into the synthesis window; find where the ends need more."""
        padded = np.zeros(self.overlap * self.hop)
        padded[: self.spec.n_fft] = self._window.astype(np.float64) ** 2
        square = padded.reshape(self.overlap, self.hop)
        full = square.sum(0)
        full = np.maximum(full, 1e-6 * full.max())  # where frames hardly overlap, zeros of the window stay
        periodic = np.tile(full, self.overlap)[: self.spec.n_fft]
        self._synthesis = (self._window / periodic).astype(np.float32)
        self._ends: dict[int, Wave] = {}
        last = (self.frames - 1) // self.rows
        for block in sorted({0, *range(max(0, last), self.blocks)}):
            hops = np.arange(block * self.rows, (block + 1) * self.rows)
            frame = hops[:, None] - np.arange(self.overlap)
            there = ((frame >= 0) & (frame < self.frames)).astype(np.float64)
            gain = full / np.maximum(there @ square, _LEAST_COVER * full.max())
            self._ends[block] = gain.ravel().astype(np.float32)

    def _reserve(self) -> None:
        """Working memory; the axis of iterations runs backwards, from the last one to the first."""
        count, rows = self.n_iter + 1, self.rows
        self._waves = np.zeros((count + 1, (_HISTORY + _ROOM) * self._block + self._tail), np.float32)
        self._at = (_HISTORY - 1) * self._block  # start of the block that every runner is at
        self._spectra = np.zeros((count, rows, self.spec.n_bins), np.complex64)
        self._frames = np.zeros((count, rows, self.overlap * self.hop), np.float32)
        self._step = np.zeros((count, (rows - 1) * self.hop + self.spec.n_fft), np.float32)
        self._found = np.zeros_like(self._spectra)
        self._size = np.zeros((count, rows, self.bins), np.float32)

    def run(self, source: Iterable[tuple[Wave, Spectrum]]) -> Iterator[Wave]:
        """Pass the frames through.

        Args:
            source: pieces of (magnitudes (L, F), first phases (L, F) as unit complex numbers); L is a multiple of
                R = `block_frames(spec)` in all but the last.

        Yields:
            (R * hop_length,), finished samples in order, `blocks` times; valid until the next is asked for.
        """
        behind, step = 2 * self.n_iter, 0
        held = np.zeros((behind, self.rows, self.bins), np.float32)
        for magnitude, phase in self._full(source):
            held = np.concatenate((held[len(held) - behind :], magnitude))
            for index in range(len(magnitude)):
                self._advance(step, held[index : index + behind + 1 : 2], magnitude[index] * phase[index])
                if step >= behind:
                    yield self._waves[0, self._at : self._at + self._block]
                step += 1

    def _full(self, source: Iterable[tuple[Wave, Spectrum]]) -> Iterator[tuple[Wave, Spectrum]]:
        """Cut pieces into blocks (blocks, R, F); add silent ones until the last iteration is through."""
        given = 0
        for magnitude, phase in source:
            short = ((0, -len(magnitude) % self.rows), (0, 0))
            cut = np.pad(magnitude, short).reshape(-1, self.rows, self.bins)
            given += len(cut)
            yield cut, np.pad(phase, short).reshape(cut.shape)
        silent = np.zeros((self.blocks + 2 * self.n_iter - given, self.rows, self.bins), np.float32)
        yield silent, silent.astype(np.complex64)

    def _advance(self, step: int, magnitudes: Wave, first: Spectrum) -> None:
        """One step of all iterations that have a block to work on."""
        if self._at + 2 * self._block + self._tail > self._waves.shape[-1]:
            self._move_back()
        self._at += self._block
        low = max(0, self.n_iter - step // 2)
        high = min(self.n_iter, self.n_iter - (step - self.blocks) // 2 - 1) + 1
        if low >= high:  # a single block rests at every other step
            return
        if high > self.n_iter:
            self._spectra[-1, :, : self.bins] = first
        if low < self.n_iter:
            self._analyse(low, min(high, self.n_iter), magnitudes)
        self._synthesise(low, high)
        for block, gain in self._ends.items():
            runner, odd = divmod(step - block, 2)
            if not odd and 0 <= runner <= self.n_iter:
                self._waves[self.n_iter - runner, self._at : self._at + self._block] *= gain

    def _analyse(self, low: int, high: int, magnitudes: Wave) -> None:
        """Spectra of the iterations in rows `low` to `high`: given magnitudes, phases of the waves before."""
        near, far = self._at - 2 * self._block, self._at - 4 * self._block
        length = (self.rows - 1) * self.hop + self.spec.n_fft
        wave = self._step[low:high]
        np.multiply(self._waves[low + 2 : high + 2, far : far + length], -self._decay, out=wave)
        wave += self._waves[low + 1 : high + 1, near : near + length]
        windowed = self._frames[low:high, :, : self.spec.n_fft]
        shape, strides = windowed.shape, (wave.strides[0], self.hop * wave.itemsize, wave.itemsize)
        np.multiply(as_strided(wave, shape, strides, writeable=False), self._window, out=windowed)
        # Only directions count, so the spectrum may have any scale. The default one is an integer 1, for which numpy
        # takes the transform of long doubles; six times as slow.
        np.fft.rfft(windowed, norm="ortho", out=self._found[low:high])  # type: ignore[arg-type]  # stubs know doubles
        found = self._found[low:high, :, : self.bins]
        size = np.abs(found, out=self._size[low:high])
        np.maximum(size, _TINY, out=size)
        np.divide(magnitudes[low:high], size, out=size)
        np.multiply(found, size, out=self._spectra[low:high, :, : self.bins])

    def _synthesise(self, low: int, high: int) -> None:
        """Overlap-add of the block's frames onto the waves, by one strided sum for each hop of a frame."""
        frames = self._frames[low:high]
        inverse = frames[..., : self.spec.n_fft]
        np.fft.irfft(self._spectra[low:high], n=self.spec.n_fft, out=inverse)  # type: ignore[arg-type]  # likewise
        inverse *= self._synthesis
        frames[..., self.spec.n_fft :] = 0
        frames = frames.reshape(high - low, self.rows, self.overlap, self.hop)
        out = self._waves[low:high, self._at : self._at + self._block + self._tail]
        out = as_strided(
            out,
            (high - low, out.shape[1] // self.hop, self.hop),
            (out.strides[0], self.hop * out.itemsize, out.itemsize),
        )
        for shift in range(self.overlap):
            out[:, shift : shift + self.rows] += frames[:, :, shift]

    def _move_back(self) -> None:
        keep = (_HISTORY - 1) * self._block
        kept = self._waves[:, self._at - keep : self._at + self._block + self._tail].copy()
        self._waves[:] = 0
        self._waves[:, : kept.shape[1]] = kept
        self._at = keep
