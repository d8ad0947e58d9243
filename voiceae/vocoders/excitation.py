"""What is filtered into speech: harmonics of a fundamental, and noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.specs import AudioSpec

_NOISE_SAMPLES = 1 << 17  # repeated; six seconds on, nobody hears that it is the same noise
_ROOM_ABOVE = 1.1  # harmonics go on so far above the mel's upper edge, where the filter ends them


class Excitation(nn.Module):
    """Spectra of a flat harmonic series and of white noise: f0 (B, T) Hz -> two (B, T, F), complex.

    The fundamental is interpolated between frames and integrated to a phase; the sum of `K` equal cosines has the
    closed form `sin((K + 1/2) phi) / (2 sin(phi / 2)) - 1/2` (Dirichlet's kernel). Both have about unit power. The
    phase is a function of all frames before, so pieces of an utterance join when each is given the phase at its start.

    Args:
        spec: the mel contract.
        seed: of the noise.

    Attributes:
        margin: how many frames to either side a frame hears the fundamental of.
    """

    window: Tensor
    noise: Tensor

    def __init__(self, spec: AudioSpec, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        self.margin = math.ceil(spec.n_fft / (2 * spec.hop_length))
        self.register_buffer("window", torch.from_numpy(spec.window()).float(), persistent=False)
        noise = torch.randn(_NOISE_SAMPLES, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("noise", noise, persistent=False)

    def forward(
        self,
        f0: Tensor,
        turns: Tensor | None = None,
        first: int | Tensor = 0,
        span: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Spectra of harmonics and of noise.

        Args:
            f0: (B, T) Hz at the centres of the frames.
            turns: (B,) phase at the first of them, in turns; 0 by default.
            first: number of the first frame in its utterance, where the noise goes on; (B,) for one of each item.
            span: of the frames that noise is wanted of, all by default.
        """
        start, stop = span or (0, f0.shape[-1])
        begin = ((first[:, None] if isinstance(first, Tensor) else first) + start) * self.spec.hop_length
        steps = torch.arange(self._samples(stop - start), device=f0.device)[None] + begin
        return self._spectra(self.harmonics(f0, turns)), self._spectra(self.noise[steps % _NOISE_SAMPLES])

    def draw(self, items: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Somewhere to start for each item: -> turns (B,) in [0, 1), first frames (B,), on the generator's device."""
        turns = torch.rand(items, generator=generator, device=generator.device)
        frames = _NOISE_SAMPLES // self.spec.hop_length
        return turns, torch.randint(frames, (items,), generator=generator, device=generator.device)

    def harmonics(self, f0: Tensor, turns: Tensor | None = None) -> Tensor:
        """Flat harmonic series over the samples that the frames hear: (B, T) -> (B, (T - 1) * hop + n_fft)."""
        hop, rate = self.spec.hop_length, self.spec.sample_rate
        margin = self.margin
        wide = functional.pad(f0[:, None], (margin, margin), mode="replicate")[:, 0]
        phase = self.advance(wide)  # from the first of the added frames on
        phase = phase - phase[:, margin, None] + (0.0 if turns is None else turns[:, None].double())
        step = torch.arange(hop, device=f0.device, dtype=torch.float64)
        left, slope = wide[:, :-1, None].double(), wide.diff(dim=-1)[..., None].double() / hop
        inner = (left * step + 0.5 * slope * step.square()) / rate
        cycles = (phase[:, :-1, None] + inner).flatten(1)
        pitch = (left + slope * step).flatten(1).float()
        skipped = margin * hop - self.spec.n_fft // 2
        return self._series(cycles, pitch)[:, skipped : skipped + self._samples(f0.shape[-1])]

    def advance(self, f0: Tensor) -> Tensor:
        """Turns from the first frame to each: (B, T) Hz -> (B, T), float64."""
        between = 0.5 * (f0[:, 1:] + f0[:, :-1]).double() * (self.spec.hop_length / self.spec.sample_rate)
        return functional.pad(between.cumsum(-1), (1, 0))

    def _series(self, cycles: Tensor, f0: Tensor) -> Tensor:
        top = min(_ROOM_ABOVE * self.spec.f_max, self.spec.sample_rate / 2)
        count = (top / f0).floor().clamp_min(1.0)
        angle = (2.0 * math.pi) * (cycles - cycles.round()).float()
        below = (0.5 * angle).sin()
        near = below.abs() < 1e-4
        ratio = ((count + 0.5) * angle).sin() / (2.0 * torch.where(near, 1.0, below))
        return (torch.where(near, count + 0.5, ratio) - 0.5) * (2.0 / count).sqrt()

    def _spectra(self, wave: Tensor) -> Tensor:
        frames = wave.unfold(-1, self.spec.n_fft, self.spec.hop_length)
        return torch.fft.rfft(frames * self.window)

    def overlap_add(self, spectra: Tensor) -> Tensor:
        """Wave whose frames come nearest to the spectra: (B, T, F) -> (B, (T - 1) * hop + n_fft), not yet divided.

        Divide by `cover` (Griffin and Lim 1984); the two are apart so that pieces can be added up first.
        """
        frames = torch.fft.irfft(spectra, n=self.spec.n_fft) * self.window
        return self._added(frames)

    def cover(self, frames: int) -> Tensor:
        """Sum of the squared windows of so many frames: -> ((frames - 1) * hop + n_fft,)."""
        return self._added(self.window.square().expand(1, frames, -1))[0]

    def _added(self, frames: Tensor) -> Tensor:
        """Overlapping frames added up: (B, T, n_fft) -> (B, (T - 1) * hop + n_fft)."""
        hop, count = self.spec.hop_length, frames.shape[1]
        overlap = self.spec.overlap
        frames = functional.pad(frames, (0, overlap * hop - self.spec.n_fft)).unflatten(-1, (overlap, hop))
        out = frames.new_zeros(frames.shape[0], count + overlap - 1, hop)
        for shift in range(overlap):
            out[:, shift : shift + count] += frames[:, :, shift]
        return out.flatten(1)[:, : self._samples(count)]

    def _samples(self, frames: int) -> int:
        """Samples that so many frames hear."""
        return (frames - 1) * self.spec.hop_length + self.spec.n_fft


def onto(tail: Tensor, wave: Tensor) -> Tensor:
    """Add what is left of the frames before: (B, n), (B, N) -> (B, N)."""
    return wave + functional.pad(tail, (0, wave.shape[-1] - tail.shape[-1]))
