"""A neck so narrow that no voice fits through it: few numbers, and only every so many frames.

AutoVC (Qian et al. 2019, arXiv 1905.05879), with this toolkit's blocks in place of its convolutions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from voiceae.models.decoders import DecoderPart
from voiceae.models.encoders import ContentPart
from voiceae.nn.layers import LSTM, Block, MaskedConv
from voiceae.nn.masking import apply_mask
from voiceae.nn.norm import FrameNorm

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Of a recurrent layer, as torch names them."""


class AutoVCEncoder(ContentPart):
    """Recurrent layers over all frames, of which one in `rate` is kept: (B, M, T) -> (B, 2 neck, ceil(T / rate)).

    Of every segment the forward direction gives its last frame, the backward one its first, so that both have heard
    all of it. The encoder is told whose voice it hears, and so need not work it out.

    Args:
        n_mels: M.
        speaker_dim: S.
        channels: width of the blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        neck: numbers a direction.
        rate: mel frames per code frame.
        kernel_size: of the blocks.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        speaker_dim: int,
        channels: int,
        hidden: int,
        n_blocks: int,
        neck: int = 32,
        rate: int = 32,
        kernel_size: int = 5,
    ) -> None:
        super().__init__()
        self.rate, self.neck, self.channels = rate, neck, 2 * neck
        self.enter = nn.Linear(n_mels + speaker_dim, channels)
        self.blocks = _blocks(n_blocks, channels, hidden, kernel_size)
        self.recurrent = LSTM(channels, neck, num_layers=2, batch_first=True, bidirectional=True)

    def join(self, speaker: nn.Module) -> None:
        """Ask this part whose voice it is; in a tuple it does not count as a part of the encoder."""
        self._speaker = (speaker,)

    def forward(self, mel: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            mel: (B, M, T), normalised.
            mask: (B, T).
            speaker: (B, S) of who speaks; by default what the speaker part hears in the mel.
        """
        if speaker is None:
            speaker = self._speaker[0](mel, mask)
        assert speaker is not None
        x = apply_mask(self.enter(_beside(mel.transpose(1, 2), speaker)), mask)
        for block in self.blocks:
            x = block(x, mask)
        lengths = mask.sum(-1) if mask is not None else mel.new_full((len(mel),), mel.shape[-1]).long()
        return self._select(self._listen(x, mask), lengths).transpose(1, 2)

    def _listen(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Both directions, the backward one from the last valid frame: (B, T, C) -> (B, T, 2 neck)."""
        if mask is None:
            heard: Tensor = self.recurrent(x)[0]
            return heard
        if mask.is_cuda:
            return self._listen_turned(x, mask)
        lengths = mask.sum(-1).clamp_min(1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=x.shape[1])[0]

    def _listen_turned(self, x: Tensor, mask: Tensor) -> Tensor:
        """The same without packing, for which a GPU would have to be asked how long the items are.

        The backward direction is a forward one over every item turned round within its length.
        """
        steps = torch.arange(x.shape[1], device=x.device)
        turned = (mask.sum(-1, keepdim=True) - 1 - steps) % x.shape[
            1
        ]  # its own inverse; padding stays behind
        width = self.recurrent.hidden_size
        for layer in range(self.recurrent.num_layers):
            place = turned[..., None]
            both = (x, x.gather(1, place.expand_as(x)))
            forward, backward = (
                self._direction(given, f"l{layer}{suffix}")
                for given, suffix in zip(both, ("", "_reverse"), strict=True)
            )
            x = torch.cat((forward, backward.gather(1, place.expand(-1, -1, width))), dim=-1)
        return apply_mask(x, mask)

    def _direction(self, x: Tensor, name: str) -> Tensor:
        """One direction of one recurrent layer: (B, T, X) -> (B, T, neck)."""
        weights = [getattr(self.recurrent, f"{kind}_{name}") for kind in _WEIGHTS]
        nothing = x.new_zeros(1, len(x), self.recurrent.hidden_size)
        start = (nothing, nothing)
        heard: Tensor = torch.lstm(x, start, weights, True, 1, 0.0, self.training, False, True)[0]
        return heard

    def _select(self, x: Tensor, lengths: Tensor) -> Tensor:
        """One frame a segment and direction: (B, T, 2 neck), (B,) -> (B, T', 2 neck), 0 behind the last."""
        first = torch.arange(0, x.shape[1], self.rate, device=x.device).expand(len(x), -1)
        last = torch.minimum(first + self.rate, lengths[:, None]).sub(1).clamp_min(0)
        forward, backward = x.chunk(2, dim=-1)
        kept = [
            directed.gather(1, frames[..., None].expand(-1, -1, self.neck))
            for directed, frames in ((forward, last), (backward, first))
        ]
        return apply_mask(torch.cat(kept, dim=-1), first < lengths[:, None])


class AutoVCDecoder(DecoderPart):
    """Codes repeated to the frame rate, blocks and a recurrent layer, and a refinement of what they give.

    units (B, D, T'), speaker (B, S) -> normalised mel (B, M, T).

    Args:
        dim: D.
        speaker_dim: S.
        n_mels: M.
        channels: width of the blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        recurrent: width of the recurrent layer.
        post_channels: width of the refinement.
        post_layers: of the refinement.
        rate: mel frames per code frame.
        kernel_size: of the blocks and the refinement.
    """

    def __init__(
        self,
        *,
        dim: int,
        speaker_dim: int,
        n_mels: int,
        channels: int,
        hidden: int,
        n_blocks: int,
        recurrent: int,
        post_channels: int,
        post_layers: int = 3,
        rate: int = 32,
        kernel_size: int = 5,
    ) -> None:
        super().__init__()
        self.rate, self.pitch_bins = rate, 0
        self.enter = nn.Linear(dim + speaker_dim, channels)
        self.blocks = _blocks(n_blocks, channels, hidden, kernel_size)
        self.recurrent = LSTM(channels, recurrent, batch_first=True)
        self.coarse = nn.Linear(recurrent, n_mels)
        widths = [n_mels, *[post_channels] * (post_layers - 1), n_mels]
        self.post = nn.ModuleList(MaskedConv(given, out, kernel_size) for given, out in pairwise(widths))

    def forward(
        self,
        units: Tensor,
        speaker: Tensor,
        pitch: Tensor,
        *,
        harmonics: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Decode exactly `pitch.shape[-1]` frames; see `Decoder.forward`."""
        return self.both(units, speaker, pitch.shape[-1], mask)[1]

    def both(
        self, units: Tensor, speaker: Tensor, frames: int, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Normalised mels before and after the refinement: (B, D, T'), (B, S) -> (B, M, T) twice."""
        repeated = units.transpose(1, 2).repeat_interleave(self.rate, dim=1)[:, :frames]
        x = apply_mask(self.enter(_beside(repeated, speaker)), mask)
        for block in self.blocks:
            x = block(x, mask)
        coarse = apply_mask(self.coarse(self.recurrent(x)[0]), mask)
        detail = coarse
        for number, layer in enumerate(self.post):
            detail = layer(torch.tanh(detail) if number else detail, mask)
        return coarse.transpose(1, 2), (coarse + detail).transpose(1, 2)


def _blocks(count: int, channels: int, hidden: int, kernel_size: int) -> nn.ModuleList:
    return nn.ModuleList(
        Block(channels, hidden, norm=FrameNorm(channels), kernel_size=kernel_size) for _ in range(count)
    )


def _beside(x: Tensor, speaker: Tensor) -> Tensor:
    """Every frame with the voice, of which every number is about one in size: (B, T, X), (B, S) -> (B, T, X + S)."""
    voice = speaker[:, None].expand(-1, x.shape[1], -1) * speaker.shape[-1] ** 0.5
    return torch.cat((x, voice.to(x.dtype)), dim=-1)
