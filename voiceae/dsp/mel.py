"""Log-mel spectrograms, of whole waves and of waves that come in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.spectrum import mel_filters
from voiceae.hardware import full_precision
from voiceae.specs import AudioSpec

_BLOCK_FRAMES = 128  # 1024 samples each: windows and spectra stay in a core's second-level cache


class LogMel(nn.Module):
    """Natural-log mel magnitudes: wav (B, N) -> mel (B, M, T), T = `spec.frames(N)`.

    Differentiable; in the precision and on the device of its buffers, so `LogMel(spec).double()` is exact.
    Without gradients on a CPU it works through cache-sized blocks of frames, with the same result.

    Args:
        spec: the mel contract.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, spec: AudioSpec) -> None:
        super().__init__()
        self.spec = spec
        weights = mel_filters(spec)
        used = np.flatnonzero(weights.any(axis=0))
        self._low, self._high = int(used[0]), int(used[-1]) + 1  # bins outside are in no filter
        self._exact = {
            "window": torch.from_numpy(spec.window()),
            "filters": torch.tensor(weights[:, self._low : self._high].T.copy()),
        }
        for name, value in self._exact.items():
            self.register_buffer(name, value.float(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LogMel:
        """Move or cast the buffers; in float64 they are the exact constants, not rounded ones cast back."""
        super()._apply(fn, recurse)
        for name, value in self._exact.items():
            if getattr(self, name).dtype == torch.float64:
                setattr(self, name, value.to(getattr(self, name).device))
        return self

    def magnitude(self, wav: Tensor) -> Tensor:
        """Magnitude spectra: (B, N) or (N,) -> (B, F, T) or (F, T)."""
        frames = self._frames(wav if wav.dim() == 2 else wav[None])
        magnitude = self._magnitude(frames, 0, self.spec.n_bins).transpose(1, 2)
        return magnitude if wav.dim() == 2 else magnitude[0]

    def forward(self, wav: Tensor) -> Tensor:
        """Log-mel: (B, N) or (N,) -> (B, M, T) or (M, T)."""
        frames = self._frames(wav if wav.dim() == 2 else wav[None])
        differentiable = torch.is_grad_enabled() and frames.requires_grad
        with full_precision(frames.device.type):  # half precision loses the weak bins beside the strong ones
            if frames.is_cuda or differentiable or frames.shape[1] <= _BLOCK_FRAMES:
                mel = self._mel(frames)
            else:
                mel = frames.new_empty(frames.shape[0], self.spec.n_mels, frames.shape[1])
                for row, row_mel in zip(frames, mel, strict=True):
                    for start in range(0, frames.shape[1], _BLOCK_FRAMES):
                        block = row[None, start : start + _BLOCK_FRAMES]
                        row_mel[:, start : start + _BLOCK_FRAMES] = self._mel(block)[0]
        return mel if wav.dim() == 2 else mel[0]

    def _frames(self, wav: Tensor) -> Tensor:
        """Overlapping views of the padded wave: (B, N) -> (B, T, n_fft)."""
        spec = self.spec
        wav = wav.to(self.window.dtype)
        if wav.shape[-1] < spec.shortest:
            wav = functional.pad(wav, (0, spec.shortest - wav.shape[-1]))
        padded = functional.pad(wav[:, None], (spec.padding, spec.padding), mode="reflect")[:, 0]
        return padded.unfold(-1, spec.n_fft, spec.hop_length)

    def _magnitude(self, frames: Tensor, low: int, high: int) -> Tensor:
        """Magnitudes of bins `low` to `high`: (B, T, n_fft) -> (B, T, high - low)."""
        squares = torch.view_as_real(torch.fft.rfft(frames * self.window))[..., low:high, :].square()
        power = squares[..., 0] + squares[..., 1]  # five times as fast as a sum over an axis of two
        return (power + self.spec.magnitude_epsilon).sqrt()

    def _mel(self, frames: Tensor) -> Tensor:
        mel = self._magnitude(frames, self._low, self._high) @ self.filters
        return mel.clamp_min(self.spec.log_floor).log().transpose(1, 2)


class MelStream:
    """`LogMel` of a stream: each frame as soon as its last sample has come, equal to that of the whole wave.

    Args:
        transform: wave (n,) -> mel (M, t).
    """

    def __init__(self, transform: LogMel) -> None:
        self._transform, self._spec = transform, transform.spec
        self._margin = self._spec.padding // self._spec.hop_length + 1  # frames that the reflection reaches
        self._wav = transform.window.new_zeros(0)
        self._start = 0  # frame that `_wav` begins with
        self._next = 0  # first frame not given yet
        self.samples = 0

    def push(self, wav: Tensor) -> Tensor:
        """Add samples and return the frames that they complete: (n,) -> (M, t), t may be 0."""
        self._wav = torch.cat((self._wav, wav.to(self._wav)))
        self.samples += len(wav)
        spec = self._spec
        ready = (self.samples + spec.padding - spec.n_fft) // spec.hop_length + 1
        return self._frames(max(ready, self._next))

    def flush(self) -> Tensor:
        """The remaining frames, of the wave extended by zeros to whole hops: -> (M, t)."""
        self._wav = functional.pad(self._wav, (0, self._spec.pad_to_hop(self.samples)))
        return self._frames(-(-self.samples // self._spec.hop_length))

    def _frames(self, stop: int) -> Tensor:
        if stop <= self._next:
            return self._wav.new_zeros(self._spec.n_mels, 0)
        mel = self._transform(self._wav)[:, self._next - self._start : stop - self._start]
        self._next = stop
        kept = max(self._start, stop - self._margin)
        self._wav = self._wav[self._spec.samples(kept - self._start) :].clone()
        self._start = kept
        return mel


def select_spans(mels: Iterable[Tensor], spans: Iterable[tuple[int, int]]) -> Tensor:
    """Frames of a mel within some spans, concatenated: (M, t), ... -> (M, T).

    Args:
        mels: consecutive blocks of the whole mel.
        spans: (first, one after the last) frame, increasing and without overlap.
    """
    kept, done, spans = [], 0, list(spans)
    for mel in mels:
        stop = done + mel.shape[-1]
        for first, last in spans:
            if first < stop and last > done:
                kept.append(mel[..., max(0, first - done) : last - done])
        done = stop
    return torch.cat(kept, dim=-1)


def evenly_spaced_spans(frames: int, total: int, length: int) -> list[tuple[int, int]]:
    """Spans of `length` frames evenly spaced over a recording, `total` frames in all; the whole if it is shorter."""
    if frames <= max(total, length):
        return [(0, frames)]
    count = max(1, min(total // length, frames // length))
    starts = torch.linspace(0, frames - length, count, dtype=torch.float64).round().long().tolist()
    return [(start, start + length) for start in starts]
