"""Graphs ready to run, and what goes wrong with them in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError, ExportError
from voiceae.files import is_file
from voiceae.onnx.manifest import Manifest, read_graph, read_manifest
from voiceae.onnx.weights import read_weights

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
