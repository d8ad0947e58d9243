"""AutoVC (Qian et al. 2019, arXiv 1905.05879): a bottleneck in width and in time, too narrow for a voice.

This toolkit's blocks stand in place of the paper's convolutions.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from voiceae.models.decoders import DecoderInput, DecoderPart
from voiceae.models.encoders import ContentPart
from voiceae.nn.layers import LSTM, BlockStack, MaskedConv, apply_mask
from voiceae.nn.norm import FrameNorm

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Of a recurrent layer, as torch names them."""


class AutoVCEncoder(ContentPart):
    """Recurrent layers over all frames, of which one in `rate` is kept: (B, M, T) -> (B, 2 neck, ceil(T / rate)).

    Of every segment the forward direction keeps its last frame and the backward one its first, so that each has seen
    the whole segment (figure 3 of the paper). The encoder takes the source's speaker vector, and so need not encode it.

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
        norm = partial(FrameNorm, channels)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.recurrent = LSTM(channels, neck, num_layers=2, batch_first=True, bidirectional=True)

    def join(self, speaker: nn.Module) -> None:
        """Take the source's vector from this part; in a tuple, so that it is not registered as a submodule here."""
        self._speaker = (speaker,)

    def forward(self, mel: Tensor, mask: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            mel: (B, M, T), normalised.
            mask: (B, T).
            speaker: (B, S) of the source; by default the speaker part's embedding of the mel.
        """
        if speaker is None:
            speaker = self._speaker[0](mel, mask)
        assert speaker is not None
        x = self.blocks(apply_mask(self.enter(_with_speaker(mel.transpose(1, 2), speaker)), mask), mask)
        lengths = mask.sum(-1) if mask is not None else mel.new_full((len(mel),), mel.shape[-1]).long()
        return self._select(self._recur(x, mask), lengths).transpose(1, 2)

    def _recur(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Both directions, the backward one from the last valid frame: (B, T, C) -> (B, T, 2 neck)."""
        if mask is None:
            states: Tensor = self.recurrent(x)[0]
            return states
        if mask.is_cuda:
            return self._recur_reversed(x, mask)
        lengths = mask.sum(-1).clamp_min(1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=x.shape[1])[0]

    def _recur_reversed(self, x: Tensor, mask: Tensor) -> Tensor:
        """The same for a GPU, which packing would have to wait for: it needs the lengths on the CPU.

        The backward direction is a forward one over every item reversed within its length.
        """
        steps = torch.arange(x.shape[1], device=x.device)
        # Its own inverse; padding stays behind the valid frames.
        reverse = (mask.sum(-1, keepdim=True) - 1 - steps) % x.shape[1]
        width = self.recurrent.hidden_size
        for layer in range(self.recurrent.num_layers):
            place = reverse[..., None]
            start = (x.new_zeros(1, len(x), width),) * 2
            directions = []
            for given, suffix in ((x, ""), (x.gather(1, place.expand_as(x)), "_reverse")):
                weights = [getattr(self.recurrent, f"{kind}_l{layer}{suffix}") for kind in _WEIGHTS]
                states = torch.lstm(given, start, weights, True, 1, 0.0, self.training, False, True)[0]
                directions.append(states)
            forward, backward = directions
            x = torch.cat((forward, backward.gather(1, place.expand(-1, -1, width))), dim=-1)
        return apply_mask(x, mask)

    def _select(self, x: Tensor, lengths: Tensor) -> Tensor:
        """One frame a segment and direction: (B, T, 2 neck), (B,) -> (B, T', 2 neck), 0 behind the last."""
        first = torch.arange(0, x.shape[1], self.rate, device=x.device).expand(len(x), -1)
        last = torch.minimum(first + self.rate, lengths[:, None]).sub(1).clamp_min(0)
        forward, backward = x.chunk(2, dim=-1)
        # The last segment may be shorter: its last valid frame stands for the last one.
        kept = [
            directed.gather(1, frames[..., None].expand(-1, -1, self.neck))
            for directed, frames in ((forward, last), (backward, first))
        ]
        return apply_mask(torch.cat(kept, dim=-1), first < lengths[:, None])


class AutoVCDecoder(DecoderPart):
    """Codes repeated to the frame rate, blocks, a recurrent layer and a post-net: `DecoderInput` -> (B, M, T).

    Args:
        dim: D.
        speaker_dim: S.
        n_mels: M.
        channels: width of the blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        recurrent: width of the recurrent layer.
        post_channels: width of the post-net.
        post_layers: of the post-net.
        rate: mel frames per code frame.
        kernel_size: of the blocks and the post-net.
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
        norm = partial(FrameNorm, channels)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.recurrent = LSTM(channels, recurrent, batch_first=True)
        self.coarse = nn.Linear(recurrent, n_mels)
        widths = [n_mels, *[post_channels] * (post_layers - 1), n_mels]
        self.post = nn.ModuleList(MaskedConv(given, out, kernel_size) for given, out in pairwise(widths))

    def forward(self, given: DecoderInput) -> Tensor:
        """Decode `given.frames` frames: -> (B, M, T)."""
        return self.before_and_after(given.units, given.speaker, given.frames, given.mask)[1]

    def before_and_after(
        self, units: Tensor, speaker: Tensor, frames: int, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Normalised mels before and after the post-net: (B, D, T'), (B, S) -> (B, M, T) twice."""
        repeated = units.transpose(1, 2).repeat_interleave(self.rate, dim=1)[:, :frames]
        x = self.blocks(apply_mask(self.enter(_with_speaker(repeated, speaker)), mask), mask)
        coarse = apply_mask(self.coarse(self.recurrent(x)[0]), mask)
        # The post-net of Tacotron 2 (Shen et al. 2018, arXiv 1712.05884): tanh between its layers, none after the last.
        detail = coarse
        for number, layer in enumerate(self.post):
            detail = layer(torch.tanh(detail) if number else detail, mask)
        return coarse.transpose(1, 2), (coarse + detail).transpose(1, 2)


def _with_speaker(x: Tensor, speaker: Tensor) -> Tensor:
    """Every frame with the speaker vector appended: (B, T, X), (B, S) -> (B, T, X + S)."""
    # A vector of unit length has numbers of about S^-1/2; scaled to about one, as the normalised mel has.
    voice = speaker[:, None].expand(-1, x.shape[1], -1) * speaker.shape[-1] ** 0.5
    return torch.cat((x, voice.to(x.dtype)), dim=-1)
