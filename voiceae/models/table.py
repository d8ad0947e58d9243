"""Voices as rows of a table: the model knows those it was trained on, and no others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.models.speaker import SpeakerPart

LOGIT_SCALE = 16.0
"""Of the recogniser's cosines; high enough that one voice among hundreds can be certain."""


class SpeakerTable(SpeakerPart):
    """One learned vector a training speaker: (B, M, T) -> (B, S) of unit length.

    A table cannot embed a voice that is not in it. A recogniser of speakers is therefore trained beside it, which
    tells who of the table a recording sounds most like, and the row of that speaker is what the recording is embedded
    as. With a new voice the conversion speaks in the nearest training voice, not in the new one.

    Args:
        n_speakers: rows, in the order of the training speakers' sorted names.
        dim: S.
        recogniser: any speaker encoder; serves only to find the row.
    """

    limits = "a new voice is taken for the training voice that it sounds most like, and converted to that one"

    def __init__(self, *, n_speakers: int, dim: int, recogniser: SpeakerPart) -> None:
        super().__init__()
        if n_speakers < 1:
            raise ValueError(f"n_speakers {n_speakers}: a table needs at least one")
        self.n_speakers, self.dim = n_speakers, dim
        self.rows = nn.Parameter(torch.randn(n_speakers, dim))
        self.recogniser = recogniser
        self.names = nn.Parameter(torch.randn(n_speakers, recogniser.dim))

    def lookup(self, index: Tensor) -> Tensor:
        """Vectors of training speakers: (B,) -> (B, S)."""
        return functional.normalize(self.rows[index], dim=-1)

    def recognise(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of who it sounds like: normalised mel (B, M, T), mask (B, T) -> (B, n_speakers)."""
        heard: Tensor = self.recogniser(mel, mask)
        with torch.autocast(mel.device.type, enabled=False):  # voices that are alike differ by little
            return LOGIT_SCALE * heard.float() @ functional.normalize(self.names, dim=-1).T

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """The row of the training speaker that a mel sounds most like."""
        return self.lookup(self.recognise(mel, mask).argmax(-1))
