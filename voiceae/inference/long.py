"""Long recordings in bounded memory: the network works through overlapping pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from voiceae.specs import AudioSpec


def whole_hops(wav: Tensor, spec: AudioSpec) -> Tensor:
    """Zero-extend so that the frames cover every sample: (N,) -> (N',), N' the next multiple of the hop."""
    return torch.nn.functional.pad(wav, (0, -wav.shape[-1] % spec.hop_length))


def spans(frames: int, piece: int, overlap: int) -> list[tuple[int, int]]:
    """Pieces of equal length, at most `piece`, that cover all frames; neighbours share `overlap` frames."""
    if frames <= piece:
        return [(0, frames)]
    count = -(-(frames - overlap) // (piece - overlap))
    length = -(-(frames - overlap) // count) + overlap
    starts = [min(index * (length - overlap), frames - length) for index in range(count)]
    return [(start, start + length) for start in starts]


def in_pieces(mel: Tensor, convert: Callable[[Tensor], Tensor], pieces: Iterable[tuple[int, int]]) -> Tensor:
    """Apply a length-preserving map to pieces and cross-fade their overlaps: (M, T) -> (M, T).

    Args:
        mel: the whole utterance.
        convert: the map, (M, T') -> (M, T').
        pieces: what `spans` gave.
    """
    result = torch.empty_like(mel)
    done = 0
    for start, stop in pieces:
        part = convert(mel[:, start:stop])
        shared = done - start
        rise = torch.linspace(0, 1, shared + 2, device=mel.device)[1:-1]
        result[:, start:done].lerp_(part[:, :shared], rise)
        result[:, done:stop] = part[:, shared:]
        done = stop
    return result
