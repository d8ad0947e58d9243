from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.errors import OutputError
from voiceae.latent import plotting


def test_a_sheet_is_written_once(tmp_path: Path) -> None:
    figure = plotting.new_figure(3, 2)
    plot = plotting.style_axes(figure.subplots(), "title")
    plot.plot([0, 1], [0, 1])
    plotting.save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="exists already"):
        plotting.save_figure(figure, tmp_path / "a.png")
    with pytest.raises(OutputError, match="pictures are drawn as"):
        plotting.save_figure(figure, tmp_path / "a.txt")


def test_low_bins_stand_below(tmp_path: Path) -> None:
    plot = plotting.new_figure(2, 2).subplots()
    plotting.mel_strip(plot, np.arange(6).reshape(3, 2), (0, 5), "x")
    assert plot.images[0].origin == "lower" and plot.get_title(loc="left") == "x"
