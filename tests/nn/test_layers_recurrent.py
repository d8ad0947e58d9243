"""The LSTM gives what torch's gives, and runs under autocast on processors where torch's does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from voiceae.nn.layers import LSTM

OLD_PROCESSOR = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}  # has no half precision
TRAIN = """
import torch
from tests.systems import small_batch, small_system
model, batch = small_system("autovc").train(), small_batch()
for mask in (batch.mask, None):  # padded items are packed
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = model.decode(model.encode(batch.mel, mask), model.embed(batch.mel, mask), mask=mask)
    given.float().square().mean().backward()
print(all(weight.grad.isfinite().all() for weight in model.content.parameters()))
"""


def pair() -> tuple[nn.LSTM, LSTM]:
    ours, theirs = (
        kind(6, 4, num_layers=2, batch_first=True, bidirectional=True) for kind in (LSTM, nn.LSTM)
    )
    theirs.load_state_dict(ours.state_dict())
    return theirs, ours


@pytest.mark.parametrize("packed", [False, True])
def test_it_gives_what_torchs_gives_in_float32_also_under_autocast(packed: bool) -> None:
    theirs, ours = pair()
    x = torch.randn(3, 9, 6)
    given = (
        pack_padded_sequence(x, torch.tensor([9, 2, 5]), batch_first=True, enforce_sorted=False)
        if packed
        else x
    )
    wanted = theirs(given)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = ours(given)[0]
    if packed:
        wanted, got = (pad_packed_sequence(each, batch_first=True)[0] for each in (wanted, got))
    torch.testing.assert_close(got, wanted)


def test_a_model_with_recurrent_layers_trains_in_half_precision_on_every_processor() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], capture_output=True, text=True, env={**os.environ, **OLD_PROCESSOR}
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    assert done.stdout == "True\n"
