"""Fixtures for all tests: real recordings; tests skip, with the reason, without them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ["tests.identity_voice"]

SHARED = Path(os.environ.get("VOICEAE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal() -> None:
    """What is started in the background of a script, or by nohup, inherits that interrupts and hangups are ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"{path} is not there; tests on real recordings need it (see VOICEAE_TEST_DATA)")
    return path


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real speech: `train/<speaker>/*.opus`, `minivctk/`, `utterances.csv`, `speakers.csv`."""
    return _shared("corpus")


@pytest.fixture(scope="session")
def parallel() -> Path:
    """Sentences in several voices in step: `aligned/<voice>/<sentence>.opus`."""
    return _shared("parallel")


@pytest.fixture(scope="session")
def minivctk() -> Path:
    """Thirty speakers in the layout of VCTK 0.92."""
    return _shared("corpus/minivctk")


@pytest.fixture(scope="session")
def shared_vocoder() -> Path:
    """Folder of a pretrained HiFi-GAN."""
    return _shared("vocoder")
