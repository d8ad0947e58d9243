from __future__ import annotations

import numpy as np
import pytest
import torch

from voiceae.conversion.backends.numpy_griffinlim_pipeline import PipelinedGriffinLim, block_frames
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim_pipeline import PipelinedGriffinLim as OnTorch
from voiceae.vocoders.griffinlim_pipeline import block_frames as blocks_on_torch

pytestmark = pytest.mark.numeric

SPECS = {
    "default": AudioSpec(),
    "frames that end between hops": AudioSpec(
        sample_rate=8000, n_fft=200, win_length=160, hop_length=72, f_max=4000
    ),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("frames", [1, 6, 41])
def test_blocks_are_those_of_torch(spec: AudioSpec, frames: int) -> None:
    rng, rows, bins = np.random.default_rng(0), block_frames(spec), spec.n_bins - 3
    assert rows == blocks_on_torch(spec)
    magnitude = rng.random((frames, bins), np.float32)
    phase = np.exp(2j * np.pi * rng.random((frames, bins))).astype(np.complex64)
    window = np.pad(np.hanning(spec.win_length + 1)[:-1], (spec.n_fft - spec.win_length) // 2).astype(
        np.float32
    )

    ours = PipelinedGriffinLim(spec, window, (bins, frames), n_iter=5, momentum=0.9)
    blocks = [block.copy() for block in ours.run([(magnitude, phase)])]
    theirs = OnTorch(spec, torch.from_numpy(window), (1, bins, frames), n_iter=5, momentum=0.9)
    source = [(torch.from_numpy(magnitude)[None], torch.from_numpy(phase)[None])]
    wanted = [block[0].numpy().copy() for block in theirs.run(source)]

    assert len(blocks) == len(wanted) == ours.blocks
    scale = max(float(np.abs(block).max()) for block in wanted)
    np.testing.assert_allclose(np.stack(blocks), np.stack(wanted), rtol=0, atol=1e-4 * scale)
