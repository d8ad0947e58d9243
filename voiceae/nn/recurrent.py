"""A recurrent layer that runs on every processor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


class LSTM(nn.LSTM):
    """torch's LSTM, on a CPU in float32 also under autocast: (B, T, X) -> (B, T, C), states.

    oneDNN has a half-precision LSTM only for processors with AVX-512; on others torch's fails.
    """

    def forward(self, x: Tensor | PackedSequence, hx: Any = None) -> Any:
        """See `torch.nn.LSTM`; takes a packed sequence too."""
        data = x.data if isinstance(x, PackedSequence) else x
        if data.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return self._run(x, hx)
        with torch.autocast("cpu", enabled=False):
            full = data.float()
            return self._run(x._replace(data=full) if isinstance(x, PackedSequence) else full, hx)

    def _run(self, x: Tensor | PackedSequence, hx: Any) -> Any:
        return nn.LSTM.forward(self, x, hx)
