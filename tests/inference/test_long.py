from __future__ import annotations

import itertools

import pytest
import torch

from voiceae.inference.long import in_pieces, spans, whole_hops
from voiceae.specs import AudioSpec


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 150, 190, 191, 1000, 1234])
def test_spans_cover_everything_and_overlap(frames: int) -> None:
    pieces = spans(frames, 100, 10)
    assert pieces[0][0] == 0 and pieces[-1][1] == frames
    assert all(0 < stop - start <= 100 for start, stop in pieces)
    assert len({stop - start for start, stop in pieces}) == 1
    assert all(later[0] <= earlier[1] - 10 for earlier, later in itertools.pairwise(pieces))
    assert all(later[1] > earlier[1] for earlier, later in itertools.pairwise(pieces))


@pytest.mark.parametrize("frames", [1, 100, 101, 333])
def test_a_map_without_memory_is_the_same_in_pieces(frames: int) -> None:
    mel = torch.randn(3, frames)
    torch.testing.assert_close(in_pieces(mel, lambda part: 2 * part - 1, spans(frames, 50, 8)), 2 * mel - 1)


def test_the_fade_is_a_straight_line() -> None:
    levels = iter([0.0, 1.0])
    out = in_pieces(torch.zeros(1, 90), lambda part: part * 0 + next(levels), spans(90, 50, 10))[0]
    assert (out[:40] == 0).all() and (out[50:] == 1).all()
    torch.testing.assert_close(out[40:50], torch.arange(1, 11) / 11)


@pytest.mark.parametrize(("samples", "wanted"), [(1, 256), (256, 256), (257, 512)])
def test_frames_reach_the_last_sample(samples: int, wanted: int) -> None:
    padded = whole_hops(torch.ones(samples), AudioSpec())
    assert len(padded) == wanted and padded.sum() == samples
