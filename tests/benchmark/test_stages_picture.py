from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voiceae.benchmark.measuring import Timing, plain
from voiceae.benchmark.stages import draw_lengths
from voiceae.errors import ConfigError


def test_lengths_are_drawn(tmp_path: Path) -> None:
    figures = [
        replace(plain("x", Timing(0.02, 0.01, 0.03), unit), seconds=seconds, threads=threads)
        for unit in ("s/s", "MB")
        for seconds in (5.0, 60.0)
        for threads in (1, 2)
    ]
    draw_lengths(figures, tmp_path / "a.png")
    draw_lengths(figures[:1], tmp_path / "b.png")
    one, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert one.startswith(b"\x89PNG") and one != other
    with pytest.raises(ConfigError, match="measure the stage lengths"):
        draw_lengths([plain("x", Timing(1, 1, 1), "s/s")], tmp_path / "c.png")
