"""Griffin-Lim with numpy alone, from the same first phases as on torch, so with the same result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.backends.numpy_excitation import twister, uniform
from voiceae.conversion.backends.numpy_griffinlim_pipeline import PipelinedGriffinLim, block_frames
from voiceae.conversion.backends.numpy_mel_inverse import MelInverse, click_positions
from voiceae.specs import AudioSpec

Floats = NDArray[np.float32]

_PIECE_BLOCKS = 48  # blocks whose magnitudes are worked out together


class GriffinLim:
    """Accelerated Griffin-Lim on least-squares magnitudes: mel (M, T) -> wav (T * hop_length,).

    Args:
        spec: the mel contract.
        n_iter: iterations.
        momentum: of the accelerated algorithm.
        seed: of the first phases.
    """

    def __init__(self, spec: AudioSpec, *, n_iter: int = 32, momentum: float = 0.99, seed: int = 0) -> None:
        self.spec, self.n_iter, self.momentum, self.seed = spec, n_iter, momentum, seed
        self.piece_frames = _PIECE_BLOCKS * block_frames(spec)
        self.magnitudes = MelInverse(spec)
        self.window = spec.window().astype(np.float32)

    def __call__(self, mel: Floats) -> Floats:
        """Synthesise: (M, T) -> (T * hop_length,)."""
        spec, frames = self.spec, mel.shape[1]
        starts = range(0, frames, self.piece_frames)
        pieces = [np.ascontiguousarray(mel[:, start : start + self.piece_frames].T) for start in starts]
        energy = np.concatenate([np.exp(2 * piece).sum(-1) for piece in pieces])
        shape = (self.magnitudes.bins, frames)
        relay = PipelinedGriffinLim(spec, self.window, shape, n_iter=self.n_iter, momentum=self.momentum)
        wav = np.zeros(spec.samples(frames), np.float32)
        done = -spec.padding
        source = zip(map(self.magnitudes, pieces), self._phases(energy), strict=True)
        for block in relay.run(source):
            start, stop = max(0, -done), min(len(block), len(wav) - done)
            if start < stop:
                wav[done + start : done + stop] = block[start:stop]
            done += len(block)
        return wav

    def _phases(self, energy: Floats) -> Iterator[NDArray[np.complex64]]:
        """First phases, piece by piece: (T,) -> (L, F); around a lone click those of the click, else random."""
        generator = twister(self.seed)
        bins = self.magnitudes.bins
        frequency = np.float32(2 * np.pi / self.spec.n_fft) * np.arange(bins, dtype=np.float32)
        positions = click_positions(energy, self.spec)
        for start in range(0, len(positions), self.piece_frames):
            position = positions[start : start + self.piece_frames]
            angle = np.float32(2 * np.pi) * uniform(generator, (self.piece_frames, bins))[: len(position)]
            heard = np.isfinite(position)
            angle[heard] = -frequency * position[heard, None]
            phase = np.empty(angle.shape, np.complex64)
            np.cos(angle, out=phase.real)
            np.sin(angle, out=phase.imag)
            yield phase
