"""Griffin-Lim: a vocoder without weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from voiceae.specs import AudioSpec
from voiceae.vocoders.base import GRIFFIN_LIM, Vocoder
from voiceae.vocoders.linear import MelInverse
from voiceae.vocoders.pulses import pulse_positions
from voiceae.vocoders.relay import Relay, block_frames

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
        window = torch.hann_window(spec.win_length, periodic=True)
        slack = spec.n_fft - spec.win_length
        window = torch.nn.functional.pad(window, (slack // 2, slack - slack // 2))
        self.register_buffer("window", window, persistent=False)

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        """Synthesise: (B, M, T) -> (B, T * hop_length)."""
        self._require_mel(mel)
        pieces = mel.float().transpose(1, 2).split(self.piece_frames, dim=1)
        energy = torch.cat([(2.0 * piece).exp().sum(-1) for piece in pieces], dim=1)
        bins = self.magnitudes.bins
        magnitudes = (self.magnitudes(piece) for piece in pieces)
        return self._run(magnitudes, self._phases(energy, bins), (mel.shape[0], bins, mel.shape[2]))

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
            phases = self._phases(magnitude.square().sum(1), bins)
        else:
            phases = (_unit(part) for part in phase.transpose(1, 2).split(self.piece_frames, dim=1))
        return self._run(pieces, phases, (batch, bins, frames))

    def _phases(self, energy: Tensor, bins: int) -> Iterator[Tensor]:
        """First phases, piece by piece: (B, T) -> (B, L, F).

        Those of a click where a frame hears a lone one; else random, the same for every device and batch.
        """
        generator = torch.Generator().manual_seed(self.seed)
        frequency = 2.0 * torch.pi / self.spec.n_fft * torch.arange(bins, device=energy.device)
        for position in pulse_positions(energy, self.spec).split(self.piece_frames, dim=1):
            turns = torch.rand(1, self.piece_frames, bins, generator=generator)[:, : position.shape[1]]
            angle = (2.0 * torch.pi * turns.to(energy.device)).expand(len(position), -1, -1)
            heard = position.isfinite()
            if heard.any():
                angle = torch.where(heard[..., None], -frequency * position[..., None], angle)
            yield _unit(angle)

    def _run(
        self, magnitudes: Iterable[Tensor], phases: Iterable[Tensor], shape: tuple[int, int, int]
    ) -> Tensor:
        relay = Relay(self.spec, self.window, shape, n_iter=self.n_iter, momentum=self.momentum)
        wav = self.window.new_empty(shape[0], self.spec.samples(shape[2]))
        done = -self.spec.padding
        for block in relay.run(zip(magnitudes, phases, strict=True)):
            start, stop = max(0, -done), min(block.shape[1], wav.shape[1] - done)
            if start < stop:
                wav[:, done + start : done + stop] = block[:, start:stop]
            done += block.shape[1]
        return wav


def _unit(angle: Tensor) -> Tensor:
    """Complex numbers of unit length; several times as fast as `torch.polar`."""
    return torch.view_as_complex(torch.stack([angle.cos(), angle.sin()], dim=-1))
