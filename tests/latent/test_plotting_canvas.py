from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.errors import OutputError
from voiceae.latent import plotting as canvas


def test_a_sheet_is_written_once(tmp_path: Path) -> None:
    figure = canvas.sheet(3, 2)
    plot = canvas.plain(figure.subplots(), "title")
    plot.plot([0, 1], [0, 1])
    canvas.save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="exists already"):
        canvas.save(figure, tmp_path / "a.png")
    with pytest.raises(OutputError, match="pictures are drawn as"):
        canvas.save(figure, tmp_path / "a.txt")


def test_low_bins_stand_below(tmp_path: Path) -> None:
    plot = canvas.sheet(2, 2).subplots()
    canvas.mel_strip(plot, np.arange(6).reshape(3, 2), (0, 5), "x")
    assert plot.images[0].origin == "lower" and plot.get_title(loc="left") == "x"
