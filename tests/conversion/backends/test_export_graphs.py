from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny import small_model, write_model
from voiceae.conversion.backends.manifest import Stored, stored_tensors
from voiceae.dsp.mel import LogMel
from voiceae.dsp.spectrum import fourier_basis, reached_bins
from voiceae.errors import ModelFileError
from voiceae.io import modelfile
from voiceae.io.audio import load
from voiceae.specs import AudioSpec
from voiceae.vocoders.excitation import ShortTimeTransform
from voiceae.vocoders.griffinlim import GriffinLim

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from voiceae.conversion.backends.export_graphs import (  # noqa: E402
    FeatureExtractor,
    Graph,
    MatrixTransform,
    decode,
    describe,
    encode,
    model_graphs,
    point_into,
    trace,
    vocoder_graph,
)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def graph_of(module: nn.Module) -> Graph:
    return Graph(module, type(module).forward, {"x": torch.ones(4, 3)}, ("y",), {"x": 0, "y": 0})


class Spectral(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x).abs()


def run(graph: bytes, files: dict[str, bytes], **inputs: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    if files:
        options.add_external_initializers_from_files_in_memory(
            list(files), list(files.values()), [len(data) for data in files.values()]
        )
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_a_graph_works_at_other_lengths() -> None:
    module = Scaled()
    graph = trace(graph_of(module))
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    found = run(graph.SerializeToString(), {}, x=x)[0]
    np.testing.assert_allclose(found, module(torch.from_numpy(x)).detach().numpy(), atol=1e-6)


def test_weights_are_taken_from_the_file() -> None:
    module, data = Scaled(), b"\0" * 24 + np.arange(6, dtype=np.float16).tobytes()
    graph = trace(graph_of(module))
    tensors = {"inner.weight": Stored("F16", (2, 3), 24, 12), "inner.bias": Stored("F32", (7,), 0, 28)}
    point_into(graph, "weights.bin", tensors)
    found = run(graph.SerializeToString(), {"weights.bin": data}, x=np.eye(3, dtype=np.float32))[0]
    bias = module.inner.bias.detach().numpy()  # of another shape than the file's, so it stays what it was
    np.testing.assert_allclose(found, np.arange(6.0).reshape(2, 3).T + bias, atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_all_weights_of_a_model_leave_the_graph(tmp_path: Path, half: bool) -> None:
    path = write_model(tmp_path / "model.safetensors", half=half)
    module = modelfile.load(path, kind="autoencoder").module
    graph = trace(model_graphs(module, AudioSpec())["describe"])
    point_into(graph, "model.safetensors", stored_tensors(path.read_bytes()))
    assert {each.data_location for each in graph.graph.initializer} == {onnx.TensorProto.EXTERNAL}
    mel = torch.randn(1, 80, 77)
    found = run(graph.SerializeToString(), {"model.safetensors": path.read_bytes()}, mel=mel.numpy())
    np.testing.assert_allclose(found[0], module.embed(mel).numpy(), atol=1e-5)


def test_no_paths_of_this_machine_are_left() -> None:
    graph = trace(graph_of(Scaled()))
    assert str(Path(__file__).parent).encode() not in graph.SerializeToString()


def test_what_has_no_operator_is_said_in_one_line() -> None:
    with pytest.raises(ModelFileError, match="Spectral: cannot be written as an ONNX graph: ") as raised:
        trace(graph_of(Spectral()))
    assert "\n" not in str(raised.value)


SPECS = {
    "default": AudioSpec(),
    "16 kHz": AudioSpec(
        sample_rate=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_min=60, f_max=7600
    ),
}


def features(spec: AudioSpec, wav: np.ndarray) -> np.ndarray:
    extractor = FeatureExtractor(spec)
    basis = fourier_basis(spec, reached_bins(spec)).copy()
    example = {"wav": torch.zeros(spec.samples(20)), "basis": torch.from_numpy(basis)}
    graph = trace(Graph(extractor, FeatureExtractor.forward, example, ("mel",), {"wav": 0, "mel": 2}))
    padded = np.pad(wav, (0, spec.pad_to_hop(len(wav)))).astype(np.float32)
    return run(graph.SerializeToString(), {}, wav=padded, basis=basis)[0][0]


def padded_mel(spec: AudioSpec, wav: np.ndarray) -> np.ndarray:
    """What librosa gives to 1e-6, of whole hops."""
    whole = np.pad(wav, (0, spec.pad_to_hop(len(wav))))
    return LogMel(spec).double()(torch.from_numpy(whole).double()).numpy()


@pytest.mark.numeric
def test_speech_is_as_near_to_the_exact_mel_as_the_tests_of_the_mel_ask(minivctk: Path) -> None:
    spec = SPECS["default"]
    wav = load(next(minivctk.rglob("*_mic1.flac")), spec.sample_rate).wav
    wanted = padded_mel(spec, wav)
    difference, loud = np.abs(features(spec, wav) - wanted), wanted > np.log(1e-3)
    assert difference.mean() <= 1e-5
    assert difference[loud].max() <= 1e-3
    assert difference[~loud].max() <= 1e-2


@pytest.mark.numeric
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("n_samples", [400, 1000, 5000])
def test_features_of_any_length(spec: AudioSpec, n_samples: int) -> None:
    wav = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    wanted, found = padded_mel(spec, wav), features(spec, wav)
    assert found.shape == (spec.n_mels, spec.frames(n_samples + spec.pad_to_hop(n_samples)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)


@pytest.mark.numeric
@pytest.mark.parametrize("spec", [*SPECS.values(), AudioSpec(n_fft=901, win_length=800, hop_length=255)])
def test_the_transform_of_the_graphs_is_that_of_torch(spec: AudioSpec) -> None:
    bins = reached_bins(spec)
    ours, theirs = ShortTimeTransform(spec, bins), MatrixTransform(spec, _basis(spec, bins))
    wave = torch.randn(1, 11 * spec.hop_length + spec.n_fft, generator=torch.Generator().manual_seed(0))
    spectra = ours(wave)
    torch.testing.assert_close(theirs(wave), spectra, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(theirs.invert(spectra), ours.invert(spectra), atol=1e-5, rtol=1e-4)


def _basis(spec: AudioSpec, bins: int) -> Tensor:
    return torch.from_numpy(fourier_basis(spec, bins).copy())


def test_a_vocoder_that_iterates_is_refused() -> None:
    with pytest.raises(
        ModelFileError, match="griffinlim: GriffinLim cannot be exported; it is not one network"
    ):
        vocoder_graph(GriffinLim(AudioSpec()))


@pytest.mark.numeric
def test_the_two_halves_make_a_conversion() -> None:
    torch.manual_seed(0)
    model = small_model().eval()
    source, target = torch.randn(1, 80, 61) - 4.0, torch.randn(1, 80, 90) - 3.0
    wanted = model.convert(source, model.describe(target))
    speaker, centre, _, mean, deviation, frames = describe(model, target)
    units, pitch, own, _ = encode(model, source)
    found = decode(model, units, pitch, speaker, centre - own, mean, deviation, frames, torch.tensor(1.0))
    torch.testing.assert_close(found, wanted)


@pytest.mark.numeric
def test_strength_none_is_the_plain_decoder() -> None:
    torch.manual_seed(0)
    model = small_model().eval()
    mel = torch.randn(1, 80, 61) - 4.0
    content, speaker = model.encode(mel), model.embed(mel)
    blank = (torch.zeros(1, 80), torch.ones(1, 80), torch.zeros(1), torch.tensor(0.0))
    found = decode(model, content.units, content.pitch, speaker, torch.zeros(1), *blank)
    torch.testing.assert_close(found, model.decode(content, speaker), rtol=0, atol=1e-4)
