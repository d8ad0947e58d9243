"""Fixtures for all tests: recordings beside the repository; tests skip, with the reason, without them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(
            f"../shared/{name} is not beside this checkout; it is needed for tests on real recordings"
        )
    return path


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real speech: `train/<speaker>/*.opus`, `minivctk/`, `utterances.csv`, `speakers.csv`."""
    return _shared("corpus")


@pytest.fixture(scope="session")
def minivctk() -> Path:
    """Thirty speakers in the layout of VCTK 0.92."""
    return _shared("corpus/minivctk")


@pytest.fixture(scope="session")
def shared_vocoder() -> Path:
    """Folder of a pretrained HiFi-GAN."""
    return _shared("vocoder")
