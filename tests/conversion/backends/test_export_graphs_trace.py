from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny import write_model
from voiceae.conversion.backends.sessions import Stored, stored_tensors
from voiceae.errors import ModelFileError
from voiceae.io import modelfile

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from voiceae.conversion.backends.export_graphs import (  # noqa: E402
    Describe,
    largest_inside,
    point_into,
    trace,
    without_docs,
)


class Scaled(nn.Module):
    inputs, outputs = ("x",), ("y",)

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Spectral(nn.Module):
    inputs, outputs = ("x",), ("y",)

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
    graph = trace(module, [torch.ones(4, 3)], {"x": 0, "y": 0})
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    found = run(graph.SerializeToString(), {}, x=x)[0]
    np.testing.assert_allclose(found, module(torch.from_numpy(x)).detach().numpy(), atol=1e-6)


def test_weights_are_taken_from_the_file() -> None:
    module, data = Scaled(), b"\0" * 24 + np.arange(6, dtype=np.float16).tobytes()
    graph = trace(module, [torch.ones(4, 3)], {"x": 0, "y": 0})
    tensors = {"weight": Stored("F16", (2, 3), 24, 12), "bias": Stored("F32", (7,), 0, 28)}
    point_into(graph, "inner.", "weights.bin", tensors)
    found = run(graph.SerializeToString(), {"weights.bin": data}, x=np.eye(3, dtype=np.float32))[0]
    bias = module.inner.bias.detach().numpy()  # of another shape than the file's, so it stays what it was
    np.testing.assert_allclose(found, np.arange(6.0).reshape(2, 3).T + bias, atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_all_weights_of_a_model_leave_the_graph(tmp_path: Path, half: bool) -> None:
    path = write_model(tmp_path / "model.safetensors", half=half)
    module = modelfile.load(path, kind="autoencoder").module
    graph = trace(Describe(module), [torch.randn(1, 80, 50)], {"mel": 2})
    point_into(graph, "model.", "model.safetensors", stored_tensors(path.read_bytes()))
    assert largest_inside(graph) == 0
    mel = torch.randn(1, 80, 77)
    found = run(graph.SerializeToString(), {"model.safetensors": path.read_bytes()}, mel=mel.numpy())
    np.testing.assert_allclose(found[0], module.embed(mel).numpy(), atol=1e-5)


def test_no_paths_of_this_machine_are_left() -> None:
    graph = without_docs(trace(Scaled(), [torch.ones(4, 3)], {"x": 0}))
    assert str(Path(__file__).parent).encode() not in graph.SerializeToString()


def test_what_has_no_operator_is_said_in_one_line() -> None:
    with pytest.raises(ModelFileError, match="Spectral: cannot be written as an ONNX graph: ") as raised:
        trace(Spectral(), [torch.ones(4, 8)], {})
    assert "\n" not in str(raised.value)
