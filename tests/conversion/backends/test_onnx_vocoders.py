from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voiceae.conversion.backends.numpy_griffinlim import GriffinLim
from voiceae.conversion.backends.onnx_vocoders import NetworkVocoder, open_vocoder
from voiceae.specs import AudioSpec

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()


class Smoothing:
    """Stands for a graph that sees two frames to either side: every sample is the sum of five frames."""

    def __init__(self, piece: int, context: int) -> None:
        self.manifest = SimpleNamespace(spec=SPEC, values={"piece_frames": piece, "context_frames": context})
        self.lengths: list[int] = []

    def run(self, graph: str, mel: np.ndarray) -> list[np.ndarray]:
        assert graph == "vocoder"
        self.lengths.append(mel.shape[-1])
        return [np.convolve(mel[0].sum(0), np.ones(5), mode="same").repeat(SPEC.hop_length)[None]]


def test_pieces_with_their_context_are_the_whole() -> None:
    mel = np.random.default_rng(0).standard_normal((80, 47)).astype(np.float32)
    whole, cut = Smoothing(1000, 2), Smoothing(10, 2)
    voices: list[Any] = [NetworkVocoder(each) for each in (whole, cut)]  # type: ignore[arg-type]
    np.testing.assert_allclose(voices[1](mel), voices[0](mel), atol=1e-4)
    assert (whole.lengths, cut.lengths) == ([47], [12, 14, 14, 14, 9])


@pytest.mark.parametrize("frames", [1, 10, 11])
def test_the_wave_is_as_long_as_the_mel(frames: int) -> None:
    speak = NetworkVocoder(Smoothing(10, 2))  # type: ignore[arg-type]
    assert speak(np.zeros((80, frames), np.float32)).shape == (SPEC.samples(frames),)


def test_no_folder_is_griffin_lim() -> None:
    assert isinstance(open_vocoder(None, SPEC), GriffinLim)
