"""The toolkit's own vocoder, frame by frame for streams."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from voiceae.vocoders.excitation import onto

if TYPE_CHECKING:
    from voiceae.vocoders.sourcefilter import SourceFilter

_LEAST_COVER = 1e-2  # of the squared windows, while the first frames fade in


class LiveFilter:
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
        self._vocoder, self._ahead = vocoder, look_ahead
        self.delay_samples = vocoder.spec.samples(look_ahead) + vocoder.spec.padding
        self._most = vocoder.excitation.cover(64).max()
        self._covers: dict[int, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Silence before the next frame."""
        spec, context = self._vocoder.spec, self._vocoder.context_frames
        floor = math.log(spec.log_floor)
        self._past = torch.full((spec.n_mels, context + self._ahead), floor, device=self._most.device)
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
        turns = self._phase(f0, start, count)
        span = (start, start + count)
        spectra = vocoder.spectra(window[None, :, settled:], f0, turns, self._done - start, span)
        self._done += count
        sums = onto(self._tail, vocoder.excitation.overlap_add(spectra))
        cover = onto(self._cover, self._cover_of(count))
        ready = vocoder.spec.samples(count)
        self._tail, self._cover = sums[:, ready:], cover[:, ready:]
        return (sums / cover.clamp_min(_LEAST_COVER * self._most))[0, :ready]

    def _cover_of(self, count: int) -> Tensor:
        """Squared windows of so many frames, -> (1, n); pushes of one size after the other need them once."""
        if count not in self._covers:
            self._covers = {count: self._vocoder.excitation.cover(count)[None]}
        return self._covers[count]

    def _phase(self, f0: Tensor, start: int, count: int) -> Tensor:
        """Turns at the window's first frame, such that the first frame spoken goes on from the last one: -> (1,)."""
        spec, own = self._vocoder.spec, self._vocoder.excitation.advance(f0)
        if self._f0 is not None:
            step = 0.5 * (self._f0 + f0[:, start]).double() * (spec.hop_length / spec.sample_rate)
            self._turns = self._turns + step
        first = self._turns - own[:, start]
        self._f0 = f0[:, start + count - 1]
        self._turns = first + own[:, start + count - 1]
        return first
