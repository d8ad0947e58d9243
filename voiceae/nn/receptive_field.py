"""Receptive field of a network, and long sequences cut into windows with that much context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from voiceae.nn.layers import Block, MaskedConv

_PITCH_FRAMES = 1  # the pitch stream smooths over three frames
_RECURRENT_FRAMES = 172  # 2 s for LSTMs, whose field has no end: after that long their states have forgotten


def receptive_field(*parts: Any) -> int:
    """Mel frames to either side that a frame of the result can depend on, the norms' statistics aside.

    Args:
        parts: of a model, one after another, as its content encoder and its decoder; each has a `rate`.

    Half the kernels of all convolutions in a row, those inside blocks at the rate of the code.
    """
    frames = _PITCH_FRAMES
    for part in parts:
        in_blocks = {
            id(conv) for block in part.modules() if isinstance(block, Block) for conv in _convs(block)
        }
        for conv in _convs(part):
            frames += conv.conv.kernel_size[0] // 2 * (part.rate if id(conv) in in_blocks else 1)
        recurrent = any(isinstance(module, nn.RNNBase) for module in part.modules())
        frames += part.rate - 1 + (_RECURRENT_FRAMES if recurrent else 0)
    return frames


def _convs(module: nn.Module) -> Iterator[MaskedConv]:
    return (each for each in module.modules() if isinstance(each, MaskedConv))


def context_windows(parts: Iterable[Tensor], piece: int, context: int) -> Iterator[tuple[Tensor, int, int]]:
    """Cut a sequence into pieces, each with its left and right context.

    Args:
        parts: (..., t), of any lengths.
        piece: frames of a piece; the last one may be shorter, or longer by at most the context.
        context: frames before and after, as far as there are any.

    Yields:
        The window (..., T), and where in it the piece begins and ends.
    """
    held: Tensor | None = None
    begin = 0
    for part in parts:
        held = part if held is None else torch.cat((held, part), dim=-1)
        while held.shape[-1] > begin + piece + context:
            yield held[..., : begin + piece + context], begin, begin + piece
            drop = max(0, begin + piece - context)
            held, begin = held[..., drop:], begin + piece - drop
    if held is not None and held.shape[-1] > begin:
        yield held, begin, held.shape[-1]
