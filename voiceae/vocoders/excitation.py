"""What is filtered: a flat harmonic series and white noise as short-time spectra, and their transform to a wave."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.spectrum import NOISE_FRAMES, noise_spectra
from voiceae.specs import AudioSpec

_ROOM_ABOVE = 1.1  # harmonics go on so far above the wave's band, where the filter ends them
_LEAST_COVER = 1e-3  # of the squared windows; the first and last samples fade instead of being blown up
_NEAR_ZERO = 1e-4  # sine below which Dirichlet's kernel is its limit; float32 has lost half its digits there


class ShortTimeTransform(nn.Module):
    """Spectra of overlapping frames, and the wave whose frames come nearest to given spectra.

    Spectra are real and imaginary parts, (2, B, T, F), since ONNX knows no complex numbers; F are the lowest bins,
    those above are zero. Frames are not centred: T of them span (T - 1) * hop + n_fft samples.

    Args:
        spec: the mel contract.
        bins: F.

    Attributes:
        full_cover: sum of the squared windows, at most, where all frames are there.
    """

    window: Tensor

    def __init__(self, spec: AudioSpec, bins: int) -> None:
        super().__init__()
        self.spec, self.bins = spec, bins
        self.register_buffer("window", torch.from_numpy(spec.window()).float(), persistent=False)
        self.full_cover = float(self.cover(2 * spec.overlap).max())

    def forward(self, wave: Tensor) -> Tensor:
        """Analyse: (B, (T - 1) * hop + n_fft) -> (2, B, T, F)."""
        return self.spectra(wave.unfold(-1, self.spec.n_fft, self.spec.hop_length) * self.window)

    def spectra(self, frames: Tensor) -> Tensor:
        """Transform of windowed frames: (B, T, n_fft) -> (2, B, T, F)."""
        return torch.view_as_real(torch.fft.rfft(frames)[..., : self.bins]).movedim(-1, 0)

    def frames(self, spectra: Tensor) -> Tensor:
        """Its inverse: (2, B, T, F) -> (B, T, n_fft)."""
        return torch.fft.irfft(torch.complex(spectra[0], spectra[1]), n=self.spec.n_fft)

    def overlap_add(self, spectra: Tensor) -> Tensor:
        """Sum of windowed frames, not yet divided by `cover`: (2, B, T, F) -> (B, (T - 1) * hop + n_fft)."""
        return self._added(self.frames(spectra) * self.window)

    def cover(self, frames: int) -> Tensor:
        """Sum of the squared windows of so many frames: -> ((frames - 1) * hop + n_fft,)."""
        return self._added(self.window.square().expand(1, frames, -1))[0]

    def invert(self, spectra: Tensor) -> Tensor:
        """Wave of least squared error (Griffin and Lim 1984): (2, B, T, F) -> (B, T * hop_length)."""
        frames, spec = spectra.shape[2], self.spec
        cover = self.cover(frames).clamp_min(_LEAST_COVER * self.full_cover)
        wave = self.overlap_add(spectra) / cover
        return wave[:, spec.padding : spec.padding + spec.samples(frames)]

    def _added(self, frames: Tensor) -> Tensor:
        """Overlapping frames added up: (B, T, n_fft) -> (B, (T - 1) * hop + n_fft)."""
        hop, overlap = self.spec.hop_length, self.spec.overlap
        unused = overlap * hop - self.spec.n_fft
        rows = functional.pad(frames, (0, unused)).unflatten(-1, (overlap, hop)).unbind(2)
        last = overlap - 1
        shifted = [functional.pad(row, (0, 0, shift, last - shift)) for shift, row in enumerate(rows)]
        added = sum(shifted[1:], shifted[0]).flatten(1)
        return added[:, : added.shape[1] - unused]


class Excitation(nn.Module):
    """Spectra of a flat harmonic series and of white noise: f0 (B, T) Hz -> two (2, B, T, F).

    The fundamental is interpolated between frames and integrated to a phase; the sum of `K` equal cosines has the
    closed form `sin((K + 1/2) phi) / (2 sin(phi / 2)) - 1/2` (Dirichlet's kernel). Both have about unit power up to the
    mel's edge. The phase is a function of all frames before, so pieces of an utterance join when each is given the
    phase at its start.

    Args:
        spec: the mel contract.
        bins: F, the lowest.
        band: how far the harmonics have to go, Hz; to the mel's upper edge by default.

    Attributes:
        margin: how many frames to either side share samples with a frame, and hear its fundamental.
    """

    noise: Tensor

    def __init__(self, spec: AudioSpec, bins: int, band: float | None = None) -> None:
        super().__init__()
        self.spec = spec
        # Harmonics up to the second are added, and as strong as if they ended at the first: a wider band changes
        # nothing of what the mel tells.
        self.mel_top, self.top = (
            min(_ROOM_ABOVE * edge, spec.sample_rate / 2) for edge in (spec.f_max, band or spec.f_max)
        )
        self.margin = math.ceil(spec.n_fft / (2 * spec.hop_length))
        self.transform = ShortTimeTransform(spec, bins)
        self.register_buffer("noise", torch.from_numpy(noise_spectra(spec, bins)), persistent=False)

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
        begin = first[:, None] if isinstance(first, Tensor) else first
        frames = (begin + torch.arange(start, stop, device=f0.device)[None]) % NOISE_FRAMES
        return self.transform(self.harmonics(f0, turns)), self.noise[:, frames]

    def draw(self, items: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Somewhere to start for each item: -> turns (B,) in [0, 1), first frames (B,), on the generator's device."""
        turns = torch.rand(items, generator=generator, device=generator.device)
        return turns, torch.randint(NOISE_FRAMES, (items,), generator=generator, device=generator.device)

    def harmonics(self, f0: Tensor, turns: Tensor | None = None) -> Tensor:
        """Flat harmonic series over the samples of the frames: (B, T) -> (B, (T - 1) * hop + n_fft)."""
        hop, rate, margin = self.spec.hop_length, self.spec.sample_rate, self.margin
        wide = functional.pad(f0[:, None], (margin, margin), mode="replicate")[:, 0]
        # In float64: after a minute at 200 Hz the digits of a float32 end at a thousandth of a turn, and the
        # hundredth harmonic would be off by a tenth.
        phase = self.advance(wide)  # from the first of the added frames on
        phase = phase - phase[:, margin, None] + (0.0 if turns is None else turns[:, None].double())
        step = torch.arange(hop, device=f0.device, dtype=torch.float64)
        left = wide[:, :-1, None].double()
        slope = (wide[:, 1:] - wide[:, :-1])[..., None].double() / hop
        cycles = phase[:, :-1, None] + (left * step + 0.5 * slope * step.square()) / rate
        # The sum of equal cosines up to a little above the band.
        hertz = (left + slope * step).flatten(1).float()
        count, of_mel = ((top / hertz).floor().clamp_min(1.0) for top in (self.top, self.mel_top))
        cycles = cycles.flatten(1)
        angle = (2.0 * math.pi) * (cycles - cycles.round()).float()
        below = (0.5 * angle).sin()
        near = below.abs() < _NEAR_ZERO
        ratio = ((count + 0.5) * angle).sin() / (2.0 * torch.where(near, 1.0, below))
        series = (torch.where(near, count + 0.5, ratio) - 0.5) * (2.0 / of_mel).sqrt()
        # The frames around the first and the last share only half their samples with them.
        before, after = margin * hop - self.spec.n_fft // 2, margin * hop - (self.spec.n_fft + 1) // 2
        return series[:, before : series.shape[1] - after]

    def advance(self, f0: Tensor) -> Tensor:
        """Turns from the first frame to each: (B, T) Hz -> (B, T), float64."""
        between = 0.5 * (f0[:, 1:] + f0[:, :-1]).double() * (self.spec.hop_length / self.spec.sample_rate)
        return functional.pad(between.cumsum(-1), (1, 0))
