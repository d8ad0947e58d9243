"""What an export folder holds: a manifest in JSON, the graphs, and the weights that they point into."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voiceae.errors import ExportError, ModelFileError
from voiceae.io.filesystem import is_file
from voiceae.io.modelfile import read_header
from voiceae.specs import AudioSpec

FORMAT = 3
NAME = "manifest.json"
_GRAPHS = {
    "autoencoder": {"features", "describe", "encode", "decode"},
    "network": {"vocoder"},
    "sourcefilter": {"vocoder"},
}
"""What an export must have: by its kind, or by the design that a vocoder says it is of."""
_OLDEST = {"autoencoder": 2, "vocoder": 1}
"""Formats that are still read: graphs of a model gave no confidence of its pitch before the second; before the third
they looked up no frames of a voice, and are run without."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An export folder, described.

    Attributes:
        kind: "autoencoder" or "vocoder".
        name: of the model.
        spec: the mel contract.
        checksum: of the weights, as the model file has it.
        weights: name of the model file, in the folder or beside it.
        graphs: SHA-256 of every graph file, by the graph's name; `features` is in `features.onnx`.
        values: plain numbers and texts that the graphs are used with.
        statistics: per-bin mean and deviation of the training mels.
        checked: what was compared with torch, and how near it came.
        versions: of the programs that made it.
    """

    kind: str
    name: str
    spec: AudioSpec
    checksum: str
    weights: str
    graphs: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, list[float]] = field(default_factory=dict)
    checked: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into its folder."""
        content = {
            "format": FORMAT,
            **vars(self),
            "spec": self.spec.to_dict(),
            "fingerprint": self.spec.fingerprint,
        }
        (folder / NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path, kind: str) -> Manifest:
    """Read what an export says of itself.

    Args:
        folder: that `voiceae export` wrote.
        kind: what it must be.

    Raises:
        ModelFileError: when it is missing or of another kind.
        ExportError: when it is damaged or from a newer format.
    """
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{folder}: holds no {NAME}; give a folder that voiceae export wrote") from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{NAME}: {error}") from None
    if not isinstance(content, dict):
        raise _damaged(folder, f"{NAME} is not a table")
    version = content.get("format")
    if not isinstance(version, int) or not _OLDEST.get(kind, FORMAT) <= version <= FORMAT:
        raise ExportError(
            f"{folder}: is of export format {version}, this voiceae reads {_OLDEST.get(kind, FORMAT)} to {FORMAT}; "
            "export it again"
        )
    fields = {name: content[name] for name in Manifest.__dataclass_fields__ if name in content}
    try:
        found = Manifest(**{**fields, "spec": AudioSpec.from_dict(content["spec"])})
        fingerprint, graphs = content["fingerprint"], set(found.graphs)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, str(error)) from None
    if found.kind != kind:
        raise ModelFileError(f"{folder}: is an export of kind {found.kind}, where {kind} is wanted")
    if fingerprint != found.spec.fingerprint:
        raise _damaged(folder, "its fingerprint is not that of its mel contract")
    design = found.values.get("design") if kind == "vocoder" else kind
    if design not in _GRAPHS:
        raise _damaged(folder, f"it is of the unknown design {design!r}")
    if not _GRAPHS[design] <= graphs:
        raise _damaged(folder, f"it names no graph {', '.join(sorted(_GRAPHS[design] - graphs))}")
    return found


def read_graph(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Bytes of a graph, which must be those that were written.

    Raises:
        ExportError: when they are missing or others.
    """
    path = folder / f"{name}.onnx"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{path.name}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != manifest.graphs[name]:
        raise _damaged(folder, f"{path.name} is not what was written")
    return data


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
    found = {}
    for name, entry in table.items():
        first, stop = entry["data_offsets"]
        found[name] = Stored(entry["dtype"], tuple(entry["shape"]), start + first, stop - first)
    return found


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
    data, digest = path.read_bytes(), hashlib.sha256()  # as `voiceae.io.modelfile.checksum` has it
    whole = memoryview(data)
    for name, stored in sorted(stored_tensors(data).items()):
        digest.update(f"{name} {_TORCH_NAMES.get(stored.kind, stored.kind)} {stored.shape};".encode())
        digest.update(whole[stored.offset : stored.offset + stored.length])
    if digest.hexdigest()[:16] != checksum:
        raise ExportError(f"{path}: damaged model file: its weights are not those that were saved")
    return data


def is_export(path: Path) -> bool:
    """Whether a path is a folder that `voiceae export` wrote, or that looks like one."""
    return is_file(path / NAME)


def _damaged(folder: Path, reason: str) -> ExportError:
    return ExportError(f"{folder}: damaged export: {reason}; export the model again")
