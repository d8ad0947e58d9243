"""Griffin-Lim: a vocoder without weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise, tee

import torch
from torch import Tensor

from voiceae.specs import AudioSpec
from voiceae.vocoders.base import GRIFFIN_LIM, Vocoder
from voiceae.vocoders.griffinlim_pipeline import PipelinedGriffinLim, block_frames
from voiceae.vocoders.mel_inverse import MelInverse, click_positions

_PIECE_BLOCKS = 48  # blocks whose magnitudes are worked out together


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
        yield from self._waves(
            magnitudes, self._first_phases(_positions(energies, self.spec), shape[1]), shape
        )

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
