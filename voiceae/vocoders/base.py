"""What every vocoder is: log-mel to wave, whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from voiceae.nn.receptive_field import context_windows
from voiceae.specs import AudioSpec


class Vocoder(nn.Module):
    """Log-mel to wave: (B, M, T) -> (B, T * hop_length).

    One that is a single network has `generate`; others override `blocks`, and `forward` where pieces are not enough.

    Attributes:
        spec: the mel contract of its input.
        name: what reports call it.
        context_frames: how far to either side a sample depends on the mel, at most.
        piece_frames: of a long mel that are synthesised at once.
    """

    spec: AudioSpec
    name: str
    context_frames: int = 32
    piece_frames: int = 1024

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        """Synthesise, in memory that does not grow with T beyond the wave: (B, M, T) -> (B, T * hop_length)."""
        self.require_mel(mel)
        wavs = list(self.blocks([mel], mel.shape[-1]))
        return wavs[0] if len(wavs) == 1 else torch.cat(wavs, dim=-1)

    @torch.inference_mode()
    def blocks(self, mels: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
        """What `forward` gives the whole, for a mel that comes in pieces: (B, M, t), ... -> (B, n), ...

        Every piece is shown with `context_frames` real frames on each side, so no seam is left.

        Args:
            mels: pieces of any lengths.
            frames: how many there are in all.
        """
        for window, start, stop in context_windows(mels, self.piece_frames, self.context_frames):
            yield self.generate(window)[:, self.spec.samples(start) : self.spec.samples(stop)]

    def generate(self, mel: Tensor) -> Tensor:
        """Synthesise in one pass: (B, M, T) -> (B, T * hop_length)."""
        raise NotImplementedError

    def require_mel(self, mel: Tensor) -> None:
        """Refuse what is no mel of this vocoder.

        Raises:
            ValueError: for another shape than (B, M, T), or no frames.
        """
        if mel.dim() != 3 or mel.shape[1] != self.spec.n_mels or mel.shape[2] < 1:
            raise ValueError(
                f"{self.name}: mel of shape {tuple(mel.shape)}; expected (B, {self.spec.n_mels}, T >= 1)"
            )
