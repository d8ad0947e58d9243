from __future__ import annotations

from itertools import product

import torch

from voiceae.nn.receptive_field import context_windows


def test_pieces_follow_each_other_and_see_their_context() -> None:
    shapes = [(20, 8), (8, 20), (400, 10), (20, 0)]
    for total, (piece, context), part in product([1, 7, 40, 41, 100, 333], shapes, [1, 13, 500]):
        check_pieces(total, piece, context, part)


def check_pieces(total: int, piece: int, context: int, part: int) -> None:
    whole = torch.arange(total)[None]
    done = 0
    for window, start, stop in context_windows(whole.split(part, dim=1), piece, context):
        shown = window[0].tolist()
        assert shown == list(range(shown[0], shown[-1] + 1))
        assert shown[start:stop] == list(range(done, done + stop - start))
        assert shown[0] == max(0, min(done - context, done)) or shown[0] <= done - context
        assert shown[-1] >= min(total - 1, done + stop - start - 1 + context)
        assert len(shown) <= piece + 2 * context + max(0, part)
        done += stop - start
    assert done == total


def test_pieces_start_on_the_grid() -> None:
    starts = [
        int(window[0, 0]) for window, _, _ in context_windows(torch.arange(200)[None].split(7, dim=1), 24, 12)
    ]
    assert len(starts) > 5 and all(start % 4 == 0 for start in starts)
