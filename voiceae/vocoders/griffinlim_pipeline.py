"""Accelerated Griffin-Lim in one pass over the frames, in constant memory.

Iteration `k` of a block of frames needs iteration `k - 1` of that block and of its neighbours only. So the
iterations run as a pipeline: at step `s`, iteration `k` works on block `s - 2 k`, all at once, as one batch.

    step      0   1   2   3   4   5   6 ...
    k = 0     b0  b1  b2  b3  b4  b5  b6      first phase -> wave
    k = 1             b0  b1  b2  b3  b4      wave -> phase -> wave
    k = 2                     b0  b1  b2

What leaves the last iteration is what iterating over the whole utterance gives, seamless at any length, while
only the blocks between the first and the last iteration are held; they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from voiceae.specs import AudioSpec

_TINY = 1e-30  # power below which a bin has no phase and stays zero
# Of the squared windows; a coarser bound bends the first and last frames at every iteration.
_LEAST_COVER = 1e-12
_ROOM = 4  # blocks by which the waves may grow before they are moved back
_HISTORY = 4  # blocks behind the one being made that later iterations still read


def block_frames(spec: AudioSpec) -> int:
    """Frames of a block: at least the tail of its last frame; 6 was fastest at the default spec."""
    return max(6, spec.overlap - 1)


class PipelinedGriffinLim:
    """Waves with given magnitudes: blocks of (B, R, F) -> blocks of (B, R * hop_length).

    Fast Griffin-Lim (Perraudin, Balazs and Soendergaard, 2013): the phase of iteration `k + 1` is that of
    `G(c_k + momentum (c_k - c_(k-1)))`, here applied to waves instead of spectra, which is the same (the
    transform is linear) and four times smaller. Frames are un-centred and the wave is that of the
    reflect-padded signal: its first `spec.padding` samples come before the utterance.

    Args:
        spec: the mel contract; gives transform, window and hop.
        window: (n_fft,), the analysis window.
        shape: (B, F, T), batch, bins that magnitudes have (the others are zero), frames in the utterance.
        n_iter: iterations after the first phase.
        momentum: 0 is plain Griffin-Lim.
    """

    def __init__(
        self, spec: AudioSpec, window: Tensor, shape: tuple[int, int, int], *, n_iter: int, momentum: float
    ) -> None:
        self.spec, self.n_iter = spec, n_iter
        batch, self.bins, self.frames = shape
        self.hop = spec.hop_length
        self.overlap = spec.overlap
        self.rows = block_frames(spec)
        self.blocks = -(-(self.frames + self.overlap - 1) // self.rows)
        self._block = self.rows * self.hop
        self._tail = (self.overlap - 1) * self.hop
        self._decay = momentum / (1.0 + momentum)
        self._window = window
        self._set_envelope()
        # Working memory; the axis of iterations runs backwards, from the last one to the first.
        count, new = n_iter + 1, window.new_zeros
        self._waves = new(count + 1, batch, (_HISTORY + _ROOM) * self._block + self._tail)
        self._at = (_HISTORY - 1) * self._block  # start of the block that every iteration is at
        self._spectra = new(count, batch, self.rows, spec.n_bins, dtype=torch.complex64)
        self._power = new(count, batch, self.rows, 2 * self.bins + 1)
        self._scale = new(count, batch, self.rows, 2 * self.bins)

    def _set_envelope(self) -> None:
        """Fold the squared-window envelope into the synthesis window; find where the ends need more.

        The envelope is periodic except within `overlap` hops of either end.
        """
        square = torch.zeros(self.overlap * self.hop, dtype=torch.float64)
        square[: self.spec.n_fft] = self._window.double().cpu().square()
        square = square.view(self.overlap, self.hop)
        full = square.sum(0)
        full = full.clamp_min(
            1e-6 * float(full.max())
        )  # where frames hardly overlap, zeros of the window stay
        periodic = full.repeat(self.overlap)[: self.spec.n_fft]
        self._synthesis = (self._window.double().cpu() / periodic).to(self._window)
        self._ends: dict[int, Tensor] = {}
        last = (self.frames - 1) // self.rows
        for block in sorted({0, *range(max(0, last), self.blocks)}):
            hops = torch.arange(block * self.rows, (block + 1) * self.rows)
            frame = hops[:, None] - torch.arange(self.overlap)
            there = ((frame >= 0) & (frame < self.frames)).double()
            gain = full / (there @ square).clamp_min(_LEAST_COVER * float(full.max()))
            self._ends[block] = gain.flatten().to(self._window)

    def run(self, source: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """Pass the frames through.

        Args:
            source: pieces of (magnitudes (B, L, F), first phases (B, L, F) as unit complex numbers); L is a
                multiple of R = `block_frames(spec)` in all but the last.

        Yields:
            (B, R * hop_length), finished samples in order, `blocks` times.
        """
        behind, step = 2 * self.n_iter, 0
        held = self._window.new_zeros(behind, *self._scale.shape[1:])
        for magnitude, phase in self._full(source):
            # The last blocks, and new ones as pairs with zero, in the same memory where the size allows.
            last = held[len(held) - behind :].clone()
            if len(held) != behind + len(magnitude):
                held = held.new_zeros(behind + len(magnitude), *held.shape[1:])
            held[:behind], held[behind:, ..., ::2] = last, magnitude
            for index in range(len(magnitude)):
                self._advance(step, held[index : index + behind + 1 : 2], magnitude[index] * phase[index])
                if step >= behind:
                    yield self._waves[0, :, self._at : self._at + self._block]
                step += 1

    def _full(self, source: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut pieces into blocks (blocks, B, R, F); add silent ones until the last iteration is through."""
        given = 0
        for pair in source:
            short = -pair[0].shape[1] % self.rows
            cut = [_padded(part, (0, 0, 0, short)).unflatten(1, (-1, self.rows)) for part in pair]
            given += cut[0].shape[1]
            yield cut[0].transpose(0, 1), cut[1].transpose(0, 1)
        rest = self.blocks + 2 * self.n_iter - given
        silent = self._window.new_zeros(1, *self._spectra.shape[1:3], self.bins).expand(rest, -1, -1, -1)
        yield silent, silent

    def _advance(self, step: int, magnitudes: Tensor, first: Tensor) -> None:
        """One step of all iterations that have a block to work on."""
        if self._at + 2 * self._block + self._tail > self._waves.shape[-1]:  # no room: move the waves back
            keep = (_HISTORY - 1) * self._block
            kept = self._waves[..., self._at - keep : self._at + self._block + self._tail].clone()
            self._waves.zero_()[..., : kept.shape[-1]] = kept
            self._at = keep
        self._at += self._block
        low = max(0, self.n_iter - step // 2)
        high = min(self.n_iter, self.n_iter - (step - self.blocks) // 2 - 1) + 1
        if low >= high:  # a single block rests at every other step
            return
        if high > self.n_iter:
            self._spectra[-1, ..., : self.bins] = first
        if low < self.n_iter:
            self._analyse(low, min(high, self.n_iter), magnitudes)
        self._synthesise(low, high)
        for block, gain in self._ends.items():
            iteration, odd = divmod(step - block, 2)
            if not odd and 0 <= iteration <= self.n_iter:
                self._waves[self.n_iter - iteration, :, self._at : self._at + self._block] *= gain

    def _analyse(self, low: int, high: int, magnitudes: Tensor) -> None:
        """Spectra of the iterations in rows `low` to `high`: given magnitudes, phases of the waves before."""
        near, far = self._at - 2 * self._block, self._at - 4 * self._block
        length = (self.rows - 1) * self.hop + self.spec.n_fft
        wave = torch.sub(
            self._waves[low + 1 : high + 1, :, near : near + length],
            self._waves[low + 2 : high + 2, :, far : far + length],
            alpha=self._decay,
        )
        found = torch.fft.rfft(wave.unfold(-1, self.spec.n_fft, self.hop) * self._window)[..., : self.bins]
        # Pairs (re, im) times magnitude / |re, im|, as a complex product with (scale, 0): on interleaved
        # numbers twice as fast as abs and divide. Odd entries of `scale` mix two bins until the zeros in
        # `magnitudes` erase them.
        parts = torch.view_as_real(found).flatten(-2)
        power, scale = self._power[low:high], self._scale[low:high]
        torch.mul(parts, parts, out=power[..., :-1])
        torch.add(power[..., :-1], power[..., 1:], out=scale)
        scale.clamp_min_(_TINY).rsqrt_().mul_(magnitudes[low:high])
        scale = torch.view_as_complex(scale.unflatten(-1, (-1, 2)))
        torch.mul(found, scale, out=self._spectra[low:high, ..., : self.bins])

    def _synthesise(self, low: int, high: int) -> None:
        """Overlap-add of the block's frames onto the waves, by one strided sum for each hop of a frame."""
        frames = torch.fft.irfft(self._spectra[low:high], n=self.spec.n_fft).mul_(self._synthesis)
        frames = _padded(frames, (0, self.overlap * self.hop - self.spec.n_fft))
        frames = frames.unflatten(-1, (self.overlap, self.hop))
        out = self._waves[low:high, :, self._at : self._at + self._block + self._tail]
        out = out.unflatten(-1, (-1, self.hop))
        for shift in range(self.overlap):
            out[:, :, shift : shift + self.rows] += frames[..., shift, :]


def _padded(frames: Tensor, margins: tuple[int, ...]) -> Tensor:
    """Zero-padded, without the copy that `pad` makes where there is nothing to add."""
    return torch.nn.functional.pad(frames, margins) if any(margins) else frames
