"""Where a lone click sits, from how loud the frames around it are."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from voiceae.specs import AudioSpec

_LONELY = 0.01  # energy, relative to the loudest frame, that frames beyond the click's reach may have


def pulse_positions(energy: Tensor, spec: AudioSpec) -> Tensor:
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
        heard = shifted[..., reach : reach + energy.shape[-1]] - distance * hop
        inside = (heard >= 0) & (heard < spec.n_fft)
        positions = torch.where(inside, heard, positions)
    return positions
