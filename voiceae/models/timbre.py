"""Frame-level timbre: what a reference sounds like, phone by phone, for a decoder to look up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.statistics import basis
from voiceae.nn.layers import StackFrames, apply_mask, downsample_mask


@dataclass(frozen=True)
class Timbre:
    """Frames of a reference as tokens: what is said in each, and with what spectrum.

    Attributes:
        tokens: (B, K, E); K may be 0, for a voice of which only the speaker vector is known.
        mask: (B, K) tokens that count; all by default.
    """

    tokens: Tensor
    mask: Tensor | None = None

    def __getitem__(self, items: Tensor) -> Timbre:
        """Those of some items of the batch."""
        return Timbre(self.tokens[items], None if self.mask is None else self.mask[items])


class TimbrePart(nn.Module):
    """Tokens of a reference: normalised mel (B, M, R), content features (B, C, R'), mask (B, R) -> `Timbre`.

    Attributes:
        dim: E, of the tokens; 0 without any.
    """

    dim: int

    def forward(self, mel: Tensor, features: Tensor, mask: Tensor | None = None) -> Timbre:
        """Tokens at the rate of the features."""
        raise NotImplementedError


class NoTimbre(TimbrePart):
    """No tokens: the speaker vector is all that is heard of a voice."""

    def __init__(self, *, dim: int = 0) -> None:
        super().__init__()
        if dim:
            raise ValueError(f"dim {dim}: without tokens it is 0")
        self.dim = 0

    def forward(self, mel: Tensor, features: Tensor, mask: Tensor | None = None) -> Timbre:
        """No tokens of any mel: (B, M, R) -> (B, 0, 0)."""
        return Timbre(mel.new_zeros(len(mel), 0, 0))


class TimbreEncoder(TimbrePart):
    """A token for each content frame of a reference: normalised mel (B, M, R), (B, C, R') -> (B, R', E).

    The first half of a token says what is said, for it comes of the content features, which are the same for any
    voice; the second how it sounds, from the low cepstra of its frames alone, which hold no pitch.

    Args:
        n_mels: M.
        channels: C, of the content features.
        dim: E.
        hidden: width of the layer between cepstra and token.
        rate: mel frames per content frame.
    """

    cepstra: Tensor

    def __init__(self, *, n_mels: int, channels: int, dim: int, hidden: int = 128, rate: int = 4) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"dim {dim}: must be even, half for what is said and half for how it sounds")
        self.dim = dim
        low = torch.from_numpy(basis(n_mels)).float()
        # With the level of the frame, which `basis` leaves out.
        level = torch.full((1, n_mels), n_mels**-0.5)
        self.register_buffer("cepstra", torch.cat((level, low)), persistent=False)
        self.fold = StackFrames(rate)
        self.rate = rate
        self.said = nn.Linear(channels, dim // 2)
        self.sound = nn.Sequential(
            nn.Linear(rate * len(self.cepstra), hidden), nn.GELU("tanh"), nn.Linear(hidden, dim - dim // 2)
        )

    def forward(self, mel: Tensor, features: Tensor, mask: Tensor | None = None) -> Timbre:
        """Tokens at the rate of the features."""
        spectrum = self.fold(apply_mask((self.cepstra @ mel).transpose(1, 2), mask))
        tokens = torch.cat((self.said(features.transpose(1, 2)), self.sound(spectrum)), dim=-1)
        return Timbre(tokens, downsample_mask(mask, self.rate))


class TimbreAttention(nn.Module):
    """Every frame looks up how the reference says it: (B, T, C), `Timbre` -> (B, T, C) to be added.

    Attention of several heads (Vaswani et al. 2017, arXiv 1706.03762). Beside the tokens there is always one that says
    nothing: without any other the result is zero, so that a decoder works from the speaker vector alone.

    Args:
        channels: C.
        dim: E, of the tokens.
        heads: of the attention.
        head_dim: width of each.
    """

    of_the_speaker_alone = "keys_and_values"

    def __init__(self, *, channels: int, dim: int, heads: int = 4, head_dim: int = 32) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.query = nn.Linear(channels, heads * head_dim)
        self.key = nn.Linear(dim // 2, heads * head_dim)
        self.value = nn.Linear(dim, heads * head_dim)
        self.nothing = nn.Parameter(torch.zeros(1, heads, 1, head_dim))  # key of the token without a value
        self.leave = nn.Linear(heads * head_dim, channels, bias=False)
        nn.init.zeros_(self.leave.weight)  # a decoder that was trained without goes on as it was

    def forward(self, x: Tensor, timbre: Timbre) -> Tensor:
        """Look up every frame."""
        query = self._split(self.query(x))
        key, value = self.keys_and_values(timbre.tokens.to(x.dtype))
        counted = None
        if timbre.mask is not None:
            counted = functional.pad(timbre.mask.bool(), (1, 0), value=True)[:, None, None]
        found = functional.scaled_dot_product_attention(query, key, value, counted)
        return self.leave(found.transpose(1, 2).flatten(2))

    def keys_and_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of the token that says nothing and of all others: (B, K, E) -> (B, H, K + 1, D), (B, H, K + 1, D)."""
        key = self._split(self.key(tokens[..., : tokens.shape[-1] // 2]))
        value = self._split(self.value(tokens))
        nothing = self.nothing.to(key.dtype).expand(len(tokens), -1, -1, -1)
        return torch.cat((nothing, key), dim=2), torch.cat((torch.zeros_like(nothing), value), dim=2)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H * D) -> (B, H, T, D)."""
        # Both are named: an exported graph cannot work one of them out where K is 0.
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
