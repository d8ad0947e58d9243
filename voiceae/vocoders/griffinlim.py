"""Griffin-Lim: a vocoder without weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise, tee

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.assets import GRIFFIN_LIM
from voiceae.dsp.spectrum import mel_filters
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.griffinlim_pipeline import PipelinedGriffinLim, block_frames

_PIECE_BLOCKS = 48  # blocks whose magnitudes are worked out together
_LONELY = 0.01  # energy, relative to the loudest frame, that frames beyond the click's reach may have


class GriffinLim(Vocoder):
    """Accelerated Griffin-Lim on least-squares magnitudes: mel (B, M, T) -> wav (B, T * hop_length).

    First phases are random, except around lone clicks, which so come out where they were. Memory does not
    grow with T beyond the input and the output. Every item of a batch starts from the same random phases, so
    it gives what it gives alone.

    Args:
        spec: the mel contract.
        n_iter: iterations.
        momentum: of the accelerated algorithm; 0 is the plain one.
        seed: of the first phases.
    """

    name = GRIFFIN_LIM
    window: Tensor

    def __init__(self, spec: AudioSpec, *, n_iter: int = 32, momentum: float = 0.99, seed: int = 0) -> None:
        super().__init__()
        self.spec, self.n_iter, self.momentum, self.seed = spec, n_iter, momentum, seed
        self.piece_frames = _PIECE_BLOCKS * block_frames(spec)
        self.magnitudes = MelInverse(spec)
        self.register_buffer("window", torch.from_numpy(spec.window()).float(), persistent=False)

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        """Synthesise: (B, M, T) -> (B, T * hop_length)."""
        self.require_mel(mel)
        return self._joined(self.blocks([mel], mel.shape[2]), mel.shape[0], mel.shape[2])

    @torch.inference_mode()
    def blocks(self, mels: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
        """What `forward` gives the whole, for a mel that comes in pieces: (B, M, t), ... -> (B, n), ...

        A block is overwritten when the next one is asked for.
        """
        pieces, copies = tee(_regrouped(mels, self.piece_frames))
        first = next(pieces, None)
        if first is None:
            return
        pieces = chain((first,), pieces)
        energies = ((2.0 * piece.transpose(1, 2)).exp().sum(-1) for piece in copies)
        shape = (first.shape[0], self.magnitudes.bins, frames)
        magnitudes = (self.magnitudes(piece.transpose(1, 2)) for piece in pieces)
        phases = self._first_phases(_positions(energies, self.spec), shape[1])
        yield from self._waves(magnitudes, phases, shape)

    @torch.inference_mode()
    def invert(self, magnitude: Tensor, phase: Tensor | None = None) -> Tensor:
        """Wave with given linear magnitudes: (B, F, T) -> (B, T * hop_length).

        Args:
            magnitude: of un-centred frames, as `LogMel.magnitude` gives them.
            phase: (B, F, T) first phases in radians, instead of random ones.
        """
        batch, bins, frames = magnitude.shape
        pieces = magnitude.transpose(1, 2).split(self.piece_frames, dim=1)
        if phase is None:
            positions = click_positions(magnitude.square().sum(1), self.spec)
            phases = self._first_phases(positions.split(self.piece_frames, dim=1), bins)
        else:
            phases = (_unit(part) for part in phase.transpose(1, 2).split(self.piece_frames, dim=1))
        return self._joined(self._waves(pieces, phases, (batch, bins, frames)), batch, frames)

    def _first_phases(self, positions: Iterable[Tensor], bins: int) -> Iterator[Tensor]:
        """First phases, piece by piece: (B, L), ... -> (B, L, F), ...

        Those of a click where `click_positions` finds a lone one; else random, the same for every device and batch.
        """
        generator = torch.Generator().manual_seed(self.seed)
        frequency = 2.0 * torch.pi / self.spec.n_fft * torch.arange(bins, device=self.window.device)
        for position in positions:
            turns = torch.rand(1, self.piece_frames, bins, generator=generator)[:, : position.shape[1]]
            angle = (2.0 * torch.pi * turns.to(frequency.device)).expand(len(position), -1, -1)
            click = -frequency * position[..., None]  # not finite where there is none
            yield _unit(torch.where(position.isfinite()[..., None], click, angle))

    def _joined(self, blocks: Iterable[Tensor], batch: int, frames: int) -> Tensor:
        """One wave of blocks, each of which is overwritten when the next is made: (B, n), ... -> (B, T * hop)."""
        wav = self.window.new_empty(batch, self.spec.samples(frames))
        done = 0
        for block in blocks:
            wav[:, done : done + block.shape[1]] = block
            done += block.shape[1]
        return wav

    def _waves(
        self, magnitudes: Iterable[Tensor], phases: Iterable[Tensor], shape: tuple[int, int, int]
    ) -> Iterator[Tensor]:
        """Finished samples in order, less the reflection at both ends: -> (B, n), ..."""
        pipeline = PipelinedGriffinLim(
            self.spec, self.window, shape, n_iter=self.n_iter, momentum=self.momentum
        )
        done, samples = -self.spec.padding, self.spec.samples(shape[2])
        for block in pipeline.run(zip(magnitudes, phases, strict=True)):
            start, stop = max(0, -done), min(block.shape[1], samples - done)
            if start < stop:
                yield block[:, start:stop]
            done += block.shape[1]


class MelInverse(nn.Module):
    """Non-negative magnitudes with the given mels: log-mel (B, T, M) -> (B, T, F).

    F is `bins`; the bins above are zero.

    With mel filters `A` and their pseudo-inverse `P`, FISTA (Beck and Teboulle, 2009) minimises the whitened
    residual `(A x - b)' (A A')^-1 (A x - b) / 2` over `x >= 0`, starting from `max(P b, 0)`. Its gradient is
    `P (A x - b)` and its Lipschitz constant is exactly 1, `P A` being a projection. On mels of real spectra
    both this and the plain residual have the minimum 0, and the whitened one gets there in fewer steps.

    Args:
        spec: the mel contract.
        n_steps: FISTA steps; 12 leave a relative residual of about 0.0016 on speech.
    """

    filters: Tensor
    inverse: Tensor

    def __init__(self, spec: AudioSpec, n_steps: int = 12) -> None:
        super().__init__()
        self.spec, self.n_steps = spec, n_steps
        filters = torch.tensor(mel_filters(spec))
        self.bins = int(filters.any(0).nonzero().max()) + 1  # nothing above the last filter can be known
        filters = filters[:, : self.bins]
        self.register_buffer("filters", filters.T.float().contiguous(), persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(filters).T.float().contiguous(), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Linear magnitudes: log-mel (B, T, M) -> (B, T, F)."""
        # In float32, for a step must lessen what rounding would put back.
        with torch.autocast(mel.device.type, enabled=False):
            target = mel.to(self.filters.dtype).exp().flatten(0, 1)
            now = (target @ self.inverse).clamp_min_(0.0)
            ahead, inertia = now, 1.0
            for _ in range(self.n_steps):
                missing = torch.addmm(target, ahead, self.filters, alpha=-1.0)
                before, now = now, torch.addmm(ahead, missing, self.inverse).clamp_min_(0.0)
                grown = (1.0 + (1.0 + 4.0 * inertia**2) ** 0.5) / 2.0
                ahead = torch.lerp(before, now, 1.0 + (inertia - 1.0) / grown)
                inertia = grown
        return now.unflatten(0, mel.shape[:2])


def click_positions(energy: Tensor, spec: AudioSpec) -> Tensor:
    """Sample of each frame at which it hears a lone click: (B, T) -> (B, T), NaN for all other frames.

    Griffin-Lim from random phases smears a click over some 50 samples. Its place can be known, though: a
    click `u` samples after the centre of its loudest frame has amplitude `cos^2(pi (H -+ u) / W)` under the
    Hann windows (length `W`) of the frames a hop `H` later and earlier. With `q` the fourth root of their
    ratio of energies,

        tan(pi u / W) = (q - 1) / ((q + 1) tan(pi H / W)).

    A click is lone if the nearest frames that cannot hear it are 20 dB weaker than its loudest one; frames at
    the ends of the utterance, which have no such neighbours, hear none.

    Args:
        energy: summed squared magnitudes of each frame.
        spec: the mel contract; the windows of three frames must overlap.
    """
    width, hop = spec.win_length, spec.hop_length
    positions = torch.full_like(energy, math.nan)
    if width <= 3 * hop:
        return positions
    reach = math.ceil(width / (2 * hop) + 0.5)
    around = functional.pad(energy, (reach, reach), value=math.inf).unfold(-1, 2 * reach + 1, 1)
    before, after = around[..., reach - 1], around[..., reach + 1]
    lone = torch.maximum(around[..., 0], around[..., -1]) < _LONELY * energy
    lone &= (energy >= before) & (energy > after)
    ratio = (after / before).nan_to_num(1.0).pow(0.25)
    offset = width / math.pi * torch.atan((ratio - 1) / ((ratio + 1) * math.tan(math.pi * hop / width)))
    centre = torch.where(lone, spec.n_fft / 2 + offset, math.nan)
    for distance in sorted(range(1 - reach, reach), key=abs, reverse=True):
        shifted = functional.pad(centre, (reach + distance, reach - distance), value=math.nan)
        position = shifted[..., reach : reach + energy.shape[-1]] - distance * hop
        inside = (position >= 0) & (position < spec.n_fft)
        positions = torch.where(inside, position, positions)
    return positions


def _regrouped(mels: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
    """Pieces of exactly `frames` frames, but for the last: (B, M, t), ... -> (B, M, frames), ..."""
    held: Tensor | None = None
    for mel in mels:
        held = mel.float() if held is None else torch.cat((held, mel.float()), dim=-1)
        while held.shape[-1] >= frames:
            yield held[..., :frames]
            held = held[..., frames:]
    if held is not None and held.shape[-1]:
        yield held


def _positions(energies: Iterable[Tensor], spec: AudioSpec) -> Iterator[Tensor]:
    """Clicks as `click_positions` finds them in the whole: energies (B, L), ... -> (B, L), ...

    What it says of a frame depends on a few frames around it; the neighbouring pieces have those.
    """
    before: Tensor | None = None
    for now, after in pairwise(chain(energies, (None,))):
        assert now is not None
        around = [piece for piece in (before, now, after) if piece is not None]
        start = 0 if before is None else before.shape[1]
        yield click_positions(torch.cat(around, dim=1), spec)[:, start : start + now.shape[1]]
        before = now


def _unit(angle: Tensor) -> Tensor:
    """Complex numbers of unit length; several times as fast as `torch.polar`."""
    return torch.view_as_complex(torch.stack([angle.cos(), angle.sin()], dim=-1))
