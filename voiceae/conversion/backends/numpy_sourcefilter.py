"""The toolkit's own vocoder without torch: its two networks are graphs, what is between them is numpy.

What is computed, and why, is told in `voiceae.vocoders.sourcefilter`, which runs on torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.backends.numpy_excitation import Excitation, Spectra
from voiceae.conversion.backends.sessions import Export
from voiceae.dsp.mel_filters import mel_corners, mel_filters

Floats = NDArray[np.float32]

_LEAST_COVER = np.float32(1e-3)
_CORRECTION_NATS = np.float32(3.0)
_CONTRAST_NATS = np.float32(4.0)
_NEIGHBOURS = 4


class SourceFilter:
    """Source-filter synthesis in the spectral domain: mel (M, T) -> wav (T * hop_length,).

    Args:
        export: of kind "vocoder", with the graphs `pitch` and `corrections`.
    """

    def __init__(self, export: Export) -> None:
        self.spec = spec = export.manifest.spec
        self._export = export
        self._piece = int(export.manifest.values["piece_frames"])
        self._context = int(export.manifest.values["context_frames"])
        filters = mel_filters(spec)
        self._bins = int(np.flatnonzero(filters.any(axis=0)).max()) + 1
        self._filters = np.ascontiguousarray(filters[:, : self._bins].T, np.float32)
        hertz = np.arange(self._bins) * spec.sample_rate / spec.n_fft
        centres = mel_corners(spec)[1:-1]
        rows = [np.interp(hertz, centres, row) for row in np.eye(spec.n_mels)]
        self._spread = np.stack(rows).astype(np.float32)
        self._excitation = Excitation(spec)

    def __call__(self, mel: Floats) -> Floats:
        """Synthesise: (M, T) -> (T * hop_length,), piece by piece, the phase going on from one to the next."""
        frames, hop, turns = mel.shape[1], self.spec.hop_length, 0.0
        size = (frames - 1) * hop + self.spec.n_fft
        wide, cover = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for start in range(0, frames, self._piece):
            stop = min(start + self._piece, frames)
            low, high = max(0, start - self._context), min(frames, stop + self._context)
            window = np.ascontiguousarray(mel[:, low:high])
            f0 = self._export.run("pitch", mel=window[None])[0][0]
            phase = self._excitation.advance(f0)
            phase += turns - phase[start - low]
            spectra = self._spectra(window, f0, float(phase[0]), low)[start - low : stop - low]
            turns = float(phase[min(stop - low, len(phase) - 1)])
            place = slice(start * hop, (stop - 1) * hop + self.spec.n_fft)
            wide[place] += self._excitation.overlap_add(spectra)
            cover[place] += self._excitation.cover(stop - start)
        most = self._excitation.cover(2 * self._context).max()
        wave = wide / np.maximum(cover, _LEAST_COVER * most)
        return wave[self.spec.padding : self.spec.padding + self.spec.samples(frames)]

    def _spectra(self, mel: Floats, f0: Floats, turns: float, first: int) -> Spectra:
        """Filtered excitation: (M, T), (T,) -> (T, n_bins)."""
        harmonics, noise = (x[:, : self._bins] for x in self._excitation(f0, turns, first))
        heard = self._mel_of(harmonics)
        found = self._export.run("corrections", mel=mel[None], heard=heard[None], f0=f0[None])
        gain, share, phase = (x[0] for x in found)
        voiced = 1 / (1 + np.exp(-share))
        angle = np.float32(np.pi) * np.tanh(phase)
        rotation = np.sqrt(voiced) * (np.cos(angle) + 1j * np.sin(angle)).astype(np.complex64)
        mixed = harmonics * rotation + noise * np.sqrt(np.float32(1 + 1e-6) - voiced)
        wanted = mel.T - self._mel_of(mixed)
        correction = _CORRECTION_NATS * np.tanh(gain / _CORRECTION_NATS)
        spectra = mixed * np.exp(wanted @ self._spread + correction)
        return np.pad(spectra, ((0, 0), (0, self.spec.n_bins - self._bins)))

    def _mel_of(self, spectra: Spectra) -> Floats:
        """Log-mel relative to that of a flat unit spectrum, holes filled: (T, F) -> (T, M)."""
        magnitude = np.sqrt(spectra.real**2 + spectra.imag**2 + np.float32(self.spec.magnitude_epsilon))
        mel = np.log(np.maximum(magnitude @ self._filters, np.float32(self.spec.log_floor)))
        padded = np.pad(mel, ((0, 0), (_NEIGHBOURS, _NEIGHBOURS)), constant_values=-np.inf)
        around = padded[:, : mel.shape[1]].copy()
        for shift in range(1, 2 * _NEIGHBOURS + 1):
            np.maximum(around, padded[:, shift : shift + mel.shape[1]], out=around)
        return np.maximum(mel, around - _CONTRAST_NATS)
