"""The whole chain of a vocoder as one graph: what torch gives, at any length and in any number of pieces."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.exported import CLIPS
from tests.vocoders.test_sourcefilter import DESCRIPTION, mel_of
from voiceae.conversion.backends.onnx import ExportedGraphs, ExportedVocoder
from voiceae.dsp.spectrum import reached_bins
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders.sourcefilter import SourceFilter

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from voiceae.conversion.backends.export import export

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()


@pytest.fixture(scope="module", params=[SPEC.f_max, 11025.0])
def source_filter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SourceFilter, Path]:
    """One whose network can be heard, and its export; its band ends with the mel, or goes on."""
    torch.manual_seed(0)
    description = {**DESCRIPTION, "band": request.param}
    module = modelfile.build(description).eval()
    torch.nn.init.normal_(module.leave.weight, std=0.1)
    path = tmp_path_factory.mktemp("vocoder") / "own.safetensors"
    modelfile.save(path, module, kind="vocoder", description=description, spec=SPEC)
    export(path, path.with_suffix(".onnx"), clips=CLIPS, graphs_only=True)
    return module, path.with_suffix(".onnx")


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)))


@pytest.mark.parametrize("frames", [1, 2, 3, 57, 170])
def test_the_graph_is_the_chain_at_any_length(source_filter: tuple[SourceFilter, Path], frames: int) -> None:
    vocoder, folder = source_filter
    mel = mel_of(2.0)[:, :, :frames]
    speak = ExportedVocoder(ExportedGraphs(folder, "vocoder"))
    assert error(speak(mel[0].numpy()), vocoder(mel)[0].numpy()) < 2e-3


@pytest.mark.parametrize("piece", [31, 64])
def test_pieces_go_on_with_the_phase_and_the_noise(
    source_filter: tuple[SourceFilter, Path], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocoder, folder = source_filter
    mel = mel_of(2.0) + 0.3 * torch.randn(1, 80, 1, generator=torch.Generator().manual_seed(1))
    speak = ExportedVocoder(ExportedGraphs(folder, "vocoder"))
    whole = speak(mel[0].numpy())
    monkeypatch.setattr(speak, "_piece", piece)
    assert error(speak(mel[0].numpy()), whole) < 2e-3
    assert error(speak(mel[0].numpy()), vocoder(mel)[0].numpy()) < 4e-3


def test_both_runtimes_draw_the_same_noise(source_filter: tuple[SourceFilter, Path]) -> None:
    vocoder, folder = source_filter
    speak = ExportedVocoder(ExportedGraphs(folder, "vocoder"))
    np.testing.assert_array_equal(speak._constants["noise"], vocoder.excitation.noise.numpy())


def test_noise_and_basis_are_not_stored(source_filter: tuple[SourceFilter, Path]) -> None:
    assert (source_filter[1] / "vocoder.onnx").stat().st_size < 600_000  # noise alone has 1.5 MB


def test_an_export_from_before_wider_bands_is_still_spoken(
    source_filter: tuple[SourceFilter, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest tells no number of bins: the graph's are those that the mel reaches."""
    graphs = ExportedGraphs(source_filter[1], "vocoder")
    assert graphs.manifest.values["bins"] == source_filter[0].bins
    monkeypatch.delitem(graphs.manifest.values, "bins")
    assert ExportedVocoder(graphs)._constants["basis"].shape[2] == reached_bins(SPEC)


class Smoothing:
    """Stands for a graph that sees two frames to either side: every sample is the sum of five frames."""

    def __init__(self, piece: int, context: int) -> None:
        values = {"design": "network", "piece_frames": piece, "context_frames": context}
        self.manifest = SimpleNamespace(spec=SPEC, values=values)
        self.lengths: list[int] = []

    def run(self, graph: str, mel: np.ndarray, **_: np.ndarray) -> dict[str, np.ndarray]:
        assert graph == "vocoder"
        self.lengths.append(mel.shape[-1])
        smoothed = np.convolve(mel[0].sum(0), np.ones(5), mode="same")
        return {"wav": smoothed.repeat(SPEC.hop_length)[None]}


def test_pieces_of_a_network_with_their_context_are_the_whole() -> None:
    mel = np.random.default_rng(0).standard_normal((80, 47)).astype(np.float32)
    whole, cut = Smoothing(1000, 2), Smoothing(10, 2)
    waves = [ExportedVocoder(each)(mel) for each in (whole, cut)]  # type: ignore[arg-type]
    np.testing.assert_allclose(waves[1], waves[0], atol=1e-4)
    assert (whole.lengths, cut.lengths) == ([47], [12, 14, 14, 14, 9])


@pytest.mark.parametrize("frames", [1, 10, 11])
def test_the_wave_is_as_long_as_the_mel(frames: int) -> None:
    speak = ExportedVocoder(Smoothing(10, 2))  # type: ignore[arg-type]
    assert speak(np.zeros((80, frames), np.float32)).shape == (SPEC.samples(frames),)
