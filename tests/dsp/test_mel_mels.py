from __future__ import annotations

import itertools

import pytest
import torch

from voiceae.dsp.mel import LogMel, MelStream, evenly_spaced_spans, select_spans
from voiceae.specs import AudioSpec

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()


@pytest.mark.parametrize("samples", [1, 256, 700, 5000, 40_001])
@pytest.mark.parametrize("block", [1, 100, 1024, 10_000])
def test_blocks_give_the_mel_of_the_whole(samples: int, block: int) -> None:
    if samples // block > 400:
        block = 100
    wav = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    transform = LogMel(SPEC)
    stream = MelStream(transform)
    pieces = [*map(stream.push, wav.split(block)), stream.flush()]
    torch.testing.assert_close(
        torch.cat(pieces, dim=1),
        transform(torch.nn.functional.pad(wav, (0, SPEC.pad_to_hop(samples)))),
        atol=1e-5,
        rtol=1e-5,
    )


def test_a_frame_is_given_with_its_last_sample() -> None:
    stream = MelStream(LogMel(SPEC))
    first = SPEC.n_fft - SPEC.padding
    assert stream.push(torch.zeros(first - 1)).shape[1] == 0
    assert stream.push(torch.zeros(1)).shape[1] == 1
    assert stream.push(torch.zeros(SPEC.hop_length - 1)).shape[1] == 0
    assert stream.push(torch.zeros(1)).shape[1] == 1


@pytest.mark.parametrize(
    ("frames", "wanted", "length"), [(10, 20, 5), (100, 20, 5), (1000, 300, 100), (30, 7, 10)]
)
def test_a_sample_is_spread_evenly(frames: int, wanted: int, length: int) -> None:
    spans = evenly_spaced_spans(frames, wanted, length)
    assert spans[0][0] == 0 and all(0 <= start < stop <= frames for start, stop in spans)
    assert all(later[0] >= earlier[1] for earlier, later in itertools.pairwise(spans))
    if frames > max(wanted, length):
        assert wanted - length < sum(stop - start for start, stop in spans) <= max(wanted, length)
        assert spans[-1][1] == frames or len(spans) == 1
    whole = torch.arange(frames)[None]
    expected = torch.cat([whole[:, start:stop] for start, stop in spans], dim=1)
    assert select_spans(whole.split(7, dim=1), spans).equal(expected)
