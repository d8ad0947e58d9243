"""ONNX graphs ready to run, their weights, and what goes wrong with them in one line."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.backends.manifest import Manifest, read_graph, read_manifest
from voiceae.errors import ConfigError, ExportError
from voiceae.io.filesystem import is_file
from voiceae.io.modelfile import read_header

_TORCH_NAMES = {
    "F16": "torch.float16",
    "BF16": "torch.bfloat16",
    "F32": "torch.float32",
    "F64": "torch.float64",
    "I64": "torch.int64",
    "I32": "torch.int32",
    "U8": "torch.uint8",
    "BOOL": "torch.bool",
}


@dataclass(frozen=True)
class Stored:
    """One tensor of a file.

    Attributes:
        kind: as safetensors calls it, "F16" or "F32".
        shape: its axes.
        offset: of its first byte in the file.
        length: bytes.
    """

    kind: str
    shape: tuple[int, ...]
    offset: int
    length: int


def stored_tensors(data: bytes) -> dict[str, Stored]:
    """Where every tensor of a safetensors file lies, by name."""
    start = 8 + struct.unpack("<Q", data[:8])[0]
    table: dict[str, Any] = json.loads(data[8:start])
    table.pop("__metadata__", None)
    return {
        name: Stored(
            entry["dtype"],
            tuple(entry["shape"]),
            start + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in table.items()
    }


def read_weights(path: Path, checksum: str) -> bytes:
    """All bytes of a model file, whose weights must be those that are wanted.

    Raises:
        ModelFileError: when the file is no model file.
        ExportError: when its weights are damaged, or others than the export's.
    """
    header = read_header(path)
    if header.checksum != checksum:
        raise ExportError(
            f"{path}: holds weights {header.checksum}, the export was made of {checksum}; export the model again"
        )
    data = path.read_bytes()
    if _checksum(data) != checksum:
        raise ExportError(f"{path}: damaged model file: its weights are not those that were saved")
    return data


def _checksum(data: bytes) -> str:
    """What `voiceae.io.modelfile.checksum` gives the same weights."""
    digest = hashlib.sha256()
    whole = memoryview(data)
    for name, stored in sorted(stored_tensors(data).items()):
        digest.update(f"{name} {_TORCH_NAMES.get(stored.kind, stored.kind)} {stored.shape};".encode())
        digest.update(whole[stored.offset : stored.offset + stored.length])
    return digest.hexdigest()[:16]


INSTALL = "pip install onnxruntime"
_FATAL_ONLY = 4  # what fails is raised as well
_WORTH_OPTIMISING = {"features", "vocoder"}
"""The other graphs hold the model's weights, which onnxruntime would cast and transpose for good: 0.2 s for the bundled
model, against 0.01 s a call for doing so anew every time."""


def require_onnxruntime() -> Any:
    """The module.

    Raises:
        ConfigError: when it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(f"runtime onnx: onnxruntime is not installed; {INSTALL}") from None
    return onnxruntime


class Export:
    """An export folder, its graphs ready to run.

    Args:
        folder: that `voiceae export` wrote.
        kind: what it must be, "autoencoder" or "vocoder".

    Raises:
        ExportError: when it is damaged, its model file is missing or another, or onnxruntime cannot run it.
        ConfigError: when onnxruntime is not installed.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._runtime = require_onnxruntime()
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder, kind)
        self._weights = read_weights(weights_path(folder, self.manifest), self.manifest.checksum)
        self._sessions = {name: self._open(name) for name in self.manifest.graphs}

    def run(self, graph: str, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Outputs of a graph, in its order.

        Args:
            graph: its name.
            inputs: by name; those that the graph has no use for are left out.

        Raises:
            ExportError: when the graph cannot take them.
        """
        session = self._sessions[graph]
        wanted = {each.name for each in session.get_inputs()}
        try:
            return session.run(None, {name: value for name, value in inputs.items() if name in wanted})
        except Exception as error:  # onnxruntime raises a family of its own that shares no base class
            raise ExportError(
                f"{self.manifest.name}: {graph}.onnx failed ({_first_line(error)}); export the model again"
            ) from None

    def _open(self, graph: str) -> Any:
        """One thread: a call is worth less than 0.1 s, where a second one costs more than it saves."""
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL_ONLY
        if graph not in _WORTH_OPTIMISING:
            options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_external_initializers_from_files_in_memory(
            [self.manifest.weights], [self._weights], [len(self._weights)]
        )
        data = read_graph(self.folder, self.manifest, graph)
        try:
            return self._runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError(
                f"{self.folder}: onnxruntime {self._runtime.__version__} cannot run {graph}.onnx "
                f"({_first_line(error)}); export the model again, or install a newer onnxruntime"
            ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def weights_path(folder: Path, manifest: Manifest) -> Path:
    """The model file that an export's graphs point into: in the folder, else beside it.

    Raises:
        ExportError: when it is in neither place.
    """
    name = Path(manifest.weights).name
    for place in (folder / name, folder.parent / name):
        if is_file(place):
            return place
    raise ExportError(f"{folder}: damaged export: {name} is neither in it nor beside it; export again")
