"""Vocoders that synthesise a mel frame by frame, with a bounded delay."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.griffinlim import GriffinLim
from voiceae.vocoders.sourcefilter import SourceFilter

_LEAST_COVER = 1e-2  # of the squared windows; where fewer frames reach, the wave is not blown up further
_TINY = 1e-8  # a spectrum below this has no phase to keep; 160 dB below full scale


class StreamingVocoder(Protocol):
    """What a stream asks of a vocoder.

    Attributes:
        delay_samples: how far what comes out lies behind what went in.
    """

    delay_samples: int

    def push(self, mel: Tensor) -> Tensor:
        """Frames in, as many hops out, `delay_samples` late: (M, t) -> (t * hop_length,)."""

    def reset(self) -> None:
        """Forget what was spoken, as after a long silence."""


def streaming_vocoder(vocoder: Vocoder, look_ahead: int = 1) -> StreamingVocoder:
    """The form of a vocoder that speaks frame by frame.

    Args:
        vocoder: in eval mode; one that is neither source-filter nor Griffin-Lim is run over a sliding window.
        look_ahead: frames that are seen before one is spoken.
    """
    if isinstance(vocoder, SourceFilter):
        return StreamingSourceFilter(vocoder, look_ahead)
    if isinstance(vocoder, GriffinLim):
        return StreamingGriffinLim(vocoder, look_ahead=look_ahead)
    return SlidingWindowVocoder(vocoder, look_ahead=look_ahead)


class StreamingSourceFilter:
    """Source-filter synthesis of frames as they come; the phase of the harmonics goes on from frame to frame.

    A frame is spoken once `look_ahead` frames after it are there; with as many as `context_frames` the result is that
    of the whole utterance.

    Args:
        vocoder: in eval mode.
        look_ahead: frames.

    Attributes:
        delay_samples: how far what comes out lies behind what went in.
    """

    def __init__(self, vocoder: SourceFilter, look_ahead: int) -> None:
        self._vocoder, self._look_ahead = vocoder, look_ahead
        self.delay_samples = vocoder.spec.samples(look_ahead) + vocoder.spec.padding
        self._transform = vocoder.excitation.transform
        self._covers: dict[int, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Silence before the next frame."""
        spec, context = self._vocoder.spec, self._vocoder.context_frames
        floor = math.log(spec.log_floor)
        self._past = torch.full(
            (spec.n_mels, context + self._look_ahead), floor, device=self._vocoder.mel_mean.device
        )
        self._done = 0  # frames
        self._f0: Tensor | None = None
        self._turns = self._past.new_zeros(1, dtype=torch.float64)
        self._tail = self._past.new_zeros(1, spec.n_fft - spec.hop_length)
        self._cover = torch.zeros_like(self._tail)

    @torch.inference_mode()
    def push(self, mel: Tensor) -> Tensor:
        """Frames in, as many hops out: (M, t) -> (t * hop_length,)."""
        vocoder, count = self._vocoder, mel.shape[-1]
        window = torch.cat((self._past.to(mel), mel), dim=-1).float()
        self._past = window[:, count:]
        start = min(vocoder.context_frames, vocoder.reach + vocoder.excitation.margin)
        settled = vocoder.context_frames - start  # what lies before only shows the pitch reader how it came
        f0 = vocoder.read_pitch(window[None])[1][:, settled:]
        # Turns at the window's first frame, such that the first frame spoken goes on from the last one: (1,).
        own = vocoder.excitation.advance(f0)
        if self._f0 is not None:
            step = 0.5 * (self._f0 + f0[:, start]).double()
            self._turns = self._turns + step * (vocoder.spec.hop_length / vocoder.spec.sample_rate)
        turns = self._turns - own[:, start]
        self._f0, self._turns = f0[:, start + count - 1], turns + own[:, start + count - 1]
        span = (start, start + count)
        spectra = vocoder.spectra(window[None, :, settled:], f0, turns, self._done - start, span)
        self._done += count
        sums = _added(self._tail, self._transform.overlap_add(spectra))
        if count not in self._covers:  # pushes of one size after the other need the squared windows once
            self._covers = {count: self._transform.cover(count)[None]}
        cover = _added(self._cover, self._covers[count])
        ready = vocoder.spec.samples(count)
        self._tail, self._cover = sums[:, ready:], cover[:, ready:]
        return (sums / cover.clamp_min(_LEAST_COVER * self._transform.full_cover))[0, :ready]


def _added(tail: Tensor, wave: Tensor) -> Tensor:
    """Add what is left of the frames before: (B, n), (B, N) -> (B, N)."""
    return wave + functional.pad(tail, (0, wave.shape[-1] - tail.shape[-1]))


class SlidingWindowVocoder:
    """A network that is run over the last frames and whose newest whole hops are taken.

    Args:
        vocoder: without memory beyond its `context_frames`.
        look_ahead: frames that follow the one spoken.
    """

    def __init__(self, vocoder: Vocoder, *, look_ahead: int) -> None:
        self._vocoder, self._look_ahead = vocoder, look_ahead
        self.delay_samples = vocoder.spec.samples(look_ahead)
        self.reset()

    def reset(self) -> None:
        """Silence before the next frame."""
        spec = self._vocoder.spec
        floor = float(torch.tensor(spec.log_floor).log())
        self._past = torch.full((spec.n_mels, self._vocoder.context_frames + self._look_ahead), floor)

    def push(self, mel: Tensor) -> Tensor:
        """(M, t) -> (t * hop_length,)."""
        window = torch.cat((self._past.to(mel), mel), dim=-1)
        self._past = window[:, mel.shape[-1] :]
        wav = self._vocoder(window[None])[0]
        stop = len(wav) - self.delay_samples
        return wav[stop - self._vocoder.spec.samples(mel.shape[-1]) : stop]


class StreamingGriffinLim:
    """Griffin-Lim's phases in real time: each new frame continues the wave so far, and is then refined.

    Real-time iterative spectrogram inversion with look-ahead (Zhu, Beauregard and Wyse, 2007). A new frame takes its
    first phase from the wave that the frames before it leave where it stands; then all frames that are not spoken yet
    are iterated together, the spoken ones being fixed.

    Args:
        vocoder: gives magnitudes and window.
        look_ahead: frames that follow the one that is fixed.
        n_iter: iterations for each new frame.
    """

    def __init__(self, vocoder: GriffinLim, *, look_ahead: int = 1, n_iter: int = 4) -> None:
        spec = vocoder.spec
        self._magnitudes, self._window, self._spec = vocoder.magnitudes, vocoder.window, spec
        self._look_ahead, self._n_iter = look_ahead, n_iter
        self._overlap = spec.overlap
        self._tail = (self._overlap - 1) * spec.hop_length
        self.delay_samples = spec.samples(look_ahead) + spec.padding
        square = vocoder.window.square()
        self._square = functional.pad(square, (0, self._overlap * spec.hop_length - spec.n_fft))
        self._most = float(self._square.view(self._overlap, -1).sum(0).max())
        self._bins = vocoder.magnitudes.bins
        turns = torch.rand(self._bins, generator=torch.Generator().manual_seed(vocoder.seed))
        self._any = torch.polar(torch.ones(self._bins), 2 * torch.pi * turns).to(vocoder.window.device)
        self.reset()

    def reset(self) -> None:
        """Nothing was spoken yet."""
        self._sum = self._window.new_zeros(self._tail)  # of the fixed frames, beyond what was given out
        self._cover = self._window.new_zeros(self._tail)
        self._target = self._window.new_zeros(self._look_ahead, self._bins)
        self._spectra = torch.zeros_like(self._target, dtype=torch.complex64)

    def push(self, mel: Tensor) -> Tensor:
        """(M, t) -> (t * hop_length,)."""
        target = self._magnitudes(mel.T[None].float())[0]
        for row in target:
            # One more frame, and some iterations over all that are not fixed.
            self._target = torch.cat((self._target, row[None]))
            silent = self._spectra.new_zeros(1, self._spectra.shape[-1])
            self._spectra = torch.cat((self._spectra, silent))
            newest = self._analysed(self._wave()[-self._spec.n_fft :])
            newest = torch.where(newest.abs() > _TINY, newest, self._any)
            self._spectra[-1:] = _with_magnitudes(newest, row[None])
            for _ in range(self._n_iter):
                self._spectra = _with_magnitudes(self._analysed(self._wave()), self._target)
        # Fix the oldest frames and give out the hops that no later frame reaches.
        count, hops = len(target), self._spec.samples(len(target))
        total, cover = self._sums(count)
        self._sum, self._cover = total[hops:], cover[hops:]
        self._spectra, self._target = self._spectra[count:], self._target[count:]
        return total[:hops] / cover[:hops].clamp_min(_LEAST_COVER * self._most)

    def _wave(self) -> Tensor:
        """Fixed and other frames together, their overlap evened out: -> (n,)."""
        total, cover = self._sums(len(self._spectra))
        return total / cover.clamp_min(_LEAST_COVER * self._most)

    def _sums(self, count: int) -> tuple[Tensor, Tensor]:
        """Windowed frames and squared windows, summed onto what is fixed: -> (n,), (n,)."""
        hop, overlap = self._spec.hop_length, self._overlap
        frames = torch.fft.irfft(self._spectra[:count], n=self._spec.n_fft) * self._window
        frames = functional.pad(frames, (0, overlap * hop - self._spec.n_fft))
        total = self._sum.new_zeros(2, (count + overlap - 1) * hop)
        total[0, : self._tail] = self._sum
        total[1, : self._tail] = self._cover
        rows = total.view(2, -1, hop)
        shifted = frames.view(count, overlap, hop), self._square.view(overlap, hop)
        for shift in range(overlap):
            rows[0, shift : shift + count] += shifted[0][:, shift]
            rows[1, shift : shift + count] += shifted[1][shift]
        return total[0], total[1]

    def _analysed(self, wave: Tensor) -> Tensor:
        """Spectra of the frames that are not fixed: (n,) -> (K, F)."""
        frames = wave.unfold(0, self._spec.n_fft, self._spec.hop_length) * self._window
        return torch.fft.rfft(frames)[:, : self._bins]


def _with_magnitudes(spectra: Tensor, magnitudes: Tensor) -> Tensor:
    """Phases of one, magnitudes of the other: (K, F), (K, F) -> (K, F)."""
    power = torch.view_as_real(spectra).square().sum(-1)
    return spectra * (magnitudes * power.clamp_min(_TINY**2).rsqrt())
