"""Model files: safetensors with a JSON header from which the model is rebuilt, with classes of this package only."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceae.errors import ConfigError, ModelFileError, OutputError, printable
from voiceae.io.filesystem import atomic_path, explain
from voiceae.specs import AudioSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

FORMAT = 1  # of the header; a reader refuses newer ones
KINDS = ("autoencoder", "vocoder")
_MAX_HEADER_BYTES = 100_000_000  # the limit that the safetensors format itself sets
# Bounds on what a header may ask for, so that a hostile one is refused before it takes memory or stack.
_DEEPEST = 64  # levels of a description; this package's have five
_LARGEST_INT = 1 << 40  # more than the size of any dimension or number of steps
_LARGEST_FFT, _HIGHEST_RATE = 1 << 16, 768_000  # 64 times the default; the fastest converters sold
_LONGEST_QUOTE = 200  # characters of a header that a message repeats
_MAKERS = {  # functions of torch that make tensors from a size
    *("empty", "zeros", "ones", "full", "rand", "randn", "randint", "randperm", "eye", "empty_strided"),
    *("arange", "linspace", "logspace", "range", "new_empty", "new_zeros", "new_ones", "new_full", "repeat"),
    *("hann_window", "hamming_window", "bartlett_window", "kaiser_window"),
}
_SPARE = 1 << 24  # numbers (64 MB) that a module may make besides weights: windows, filters, random starts


@dataclass(frozen=True)
class ModelHeader:
    """Header of a model file: all but its weights.

    Attributes:
        kind: "autoencoder" or "vocoder".
        description: nested `{"_target_": "voiceae....", **arguments}` that `build` turns into the module.
        spec: the mel contract the model was trained with.
        extra: training provenance (corpus, steps, seed, metrics) and other JSON values of the writer.
        parameters: number of weights.
        checksum: first 16 hexadecimal digits of the SHA-256 of the weights; tells models apart and finds damage. No
            proof of origin: whoever changes the weights can change it too.
    """

    kind: str
    description: dict[str, Any]
    spec: AudioSpec
    extra: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    checksum: str = ""


@dataclass(frozen=True)
class ModelFile:
    """A rebuilt module, in float32 and eval mode, with the header it came with."""

    module: nn.Module
    header: ModelHeader


def build(description: Any) -> Any:
    """Build the module a description names; plain values pass through.

    Args:
        description: `{"_target_": "voiceae.room.Class", **arguments}`, nested to any depth.

    Raises:
        ModelFileError: for a class outside `voiceae.`, refused before anything is imported.
        ConfigError: when there is no such class, or it does not take these arguments.
    """
    if isinstance(description, Mapping):
        arguments = {name: build(value) for name, value in description.items() if name != "_target_"}
        if "_target_" not in description:
            return arguments
        target = description["_target_"]
        found = find_class(target)
        try:
            return found(**arguments)
        except (ModelFileError, ConfigError):
            raise
        # With a number or a table where a module belongs, a constructor fails in any way.
        except Exception as error:
            raise ConfigError(f"{target}: {error}") from error
    if isinstance(description, list | tuple):
        return [build(value) for value in description]
    return description


def find_class(target: Any) -> Any:
    """The class of a dotted name, an `nn.Module` of this package.

    Raises:
        ModelFileError: for any other class; one outside `voiceae.` is refused before anything is imported.
        ConfigError: when there is no such class.
    """
    from torch import nn

    if not isinstance(target, str) or not target.startswith("voiceae."):
        raise ModelFileError(f"{target!r}: a model can only be built from classes of voiceae")
    room, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(room), name)
    except (ImportError, AttributeError):
        raise ConfigError(f"{target}: there is no such class") from None
    ours = isinstance(found, type) and found.__module__.startswith("voiceae.")
    if not (ours and issubclass(found, nn.Module)):
        raise ModelFileError(f"{target}: is not a model class")
    return found


def save(
    path: str | Path,
    module: nn.Module,
    *,
    kind: str,
    description: Mapping[str, Any],
    spec: AudioSpec,
    extra: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a module so that `load` rebuilds it alone.

    Args:
        path: the `.safetensors` file; appears only when complete.
        module: its state dict is what is stored.
        kind: one of `KINDS`.
        description: what `build` needs to make the same module.
        spec: the mel contract.
        extra: JSON-serialisable provenance.
        half: store floating-point weights as float16.

    Raises:
        ModelFileError: for an unknown kind, a header that is not JSON, or weights beyond half precision.
        OutputError: when the file cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if kind not in KINDS:
        raise ModelFileError(f"{path}: cannot hold a {kind!r}, only {', '.join(KINDS)}")
    tensors = {  # cloned, since safetensors refuses weights that share memory
        name: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for name, value in module.state_dict().items()
    }
    header = {
        "format": FORMAT,
        "kind": kind,
        "description": description,
        "spec": spec.to_dict(),
        "extra": dict(extra or {}),
        "checksum": checksum(tensors),
    }
    unsafe = [
        name for name, value in tensors.items() if value.dtype == torch.float16 and not value.isfinite().all()
    ]
    if unsafe:
        raise ModelFileError(
            f"{path}: weights that are not finite in half precision: {', '.join(unsafe[:3])}"
        )
    try:
        text = json.dumps(header)
    except TypeError as error:
        raise ModelFileError(f"{path}: the header must be plain JSON: {error}") from None
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"voiceae": text})
        except SafetensorError as error:  # what a full disk is called here
            raise OutputError(f"{path}: cannot be written: {error}") from None


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Fingerprint of named weights: first 16 hexadecimal digits of the SHA-256 of names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def read_header(path: str | Path) -> ModelHeader:
    """Read the header of a model file; imports no torch and reads no weights.

    Raises:
        ModelFileError: when the file is missing, damaged, not a model of this toolkit or from a newer format.
    """
    path = Path(path)
    table = _safetensors_table(path)
    try:
        text = table["__metadata__"]["voiceae"]
    except (KeyError, TypeError):
        raise ModelFileError(f"{path}: has no voiceae header; it is not a model of this toolkit") from None
    try:
        header = _strict_json(text)
        version, kind = header["format"], header["kind"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: has no voiceae header ({_brief(error)}); it is not a model of this toolkit"
        ) from None
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{path}: damaged header: its format is {_brief(version)}, no number from 1")
    if version > FORMAT:
        raise ModelFileError(
            f"{path}: is of model format {version}, this voiceae reads up to {FORMAT}; install a newer one"
        )
    if kind not in KINDS:
        raise ModelFileError(f"{path}: is a {_brief(kind)}, expected one of {', '.join(KINDS)}")
    try:
        return _model_header(header, table)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{path}: damaged header: {_brief(error)}") from None


def _strict_json(text: Any) -> Any:
    """Parse JSON strictly (RFC 8259): no NaN, no infinity, no name twice in an object.

    Raises:
        ValueError: for anything else.
    """

    def number(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise ValueError(f"{digits[:20]} is no finite number")
        return value

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in one object")
        return found

    return json.loads(text, parse_float=number, parse_constant=number, object_pairs_hook=mapping)


def _brief(value: object) -> str:
    """A value from a file, short and harmless enough for a message."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, Exception) else repr(value)
    return printable(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")


def _model_header(header: Mapping[str, Any], table: Mapping[str, Any]) -> ModelHeader:
    """The checked parts of a header; a wrong one raises what Python raises, such as KeyError or ValueError."""
    parts = {name: header[name] for name in ("description", "spec", "extra")}
    for name, value in parts.items():
        if not isinstance(value, dict):
            raise ValueError(f"its {name} is a {type(value).__name__}, not an object")
    _require_shallow(parts)
    spec = AudioSpec.from_dict(parts["spec"])
    if spec.n_fft > _LARGEST_FFT or spec.n_mels > spec.n_fft or spec.sample_rate > _HIGHEST_RATE:
        raise ValueError(
            f"n_fft {spec.n_fft}, n_mels {spec.n_mels}, sample_rate {spec.sample_rate}: no mel is like that"
        )
    parameters = sum(math.prod(shape) for shape in _shapes(table).values())
    fingerprint = header.get("checksum", "")
    if not isinstance(fingerprint, str):
        raise ValueError("its checksum is no text")
    return ModelHeader(header["kind"], parts["description"], spec, parts["extra"], parameters, fingerprint)


def _require_shallow(value: Any) -> None:
    """Refuse nesting that would exhaust recursion, and integers that can be no size."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        if any(isinstance(each, int) and abs(each) > _LARGEST_INT for each in level):
            raise ValueError(f"it holds an integer beyond {_LARGEST_INT:,}")
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]


def _shapes(table: Mapping[str, Any]) -> dict[str, list[int]]:
    """Shape of every tensor of the file, by name."""
    shapes = {name: entry["shape"] for name, entry in table.items() if name != "__metadata__"}
    for name, shape in shapes.items():
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"the shape of {name} is {shape!r}")
    return shapes


def load(path: str | Path, *, kind: str, device: str | torch.device = "cpu") -> ModelFile:
    """Rebuild a module from its file: float32, eval mode, gradients off.

    Args:
        path: a file that `save` wrote.
        kind: what it must be, one of `KINDS`.
        device: where the weights go.

    Raises:
        ModelFileError: when the file is missing, damaged, foreign, of another kind or from a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    path = Path(path)
    header = read_header(path)
    largest = max((math.prod(shape) for shape in _shapes(_safetensors_table(path)).values()), default=0)
    if header.kind != kind:
        raise ModelFileError(f"{path}: is of kind {header.kind}, where {kind} is wanted")
    try:
        tensors = load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: damaged or truncated model file: {error}") from None
    if header.checksum and checksum(tensors) != header.checksum:
        raise ModelFileError(f"{path}: damaged model file: its weights are not those that were saved")
    odd = next(
        (n for n, each in tensors.items() if each.is_floating_point() and not each.isfinite().all()), None
    )
    if odd is not None:
        raise ModelFileError(
            f"{path}: holds weights that are not finite ({_brief(odd)}); its training went wrong"
        )
    try:
        with _bounded(header.parameters, largest, len(tensors)):
            module = build(header.description)
    except (ConfigError, ModelFileError) as error:
        raise ModelFileError(f"{path}: {_brief(error)}; was it made by another version?") from None
    if not isinstance(module, nn.Module):
        raise ModelFileError(f"{path}: its description names no class to build")
    own = module.state_dict()
    for name, value in tensors.items():
        if name in own and own[name].is_floating_point() != value.is_floating_point():
            raise ModelFileError(
                f"{path}: weights do not fit the description: {name} is {value.dtype}, {own[name].dtype} is wanted"
            )
    tensors = {name: value.to(own[name].dtype) if name in own else value for name, value in tensors.items()}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[1:2] or [str(error)]
        raise ModelFileError(
            f"{path}: weights do not fit the description: {_brief(first[0].strip())}"
        ) from None
    return ModelFile(module=module.to(device).eval().requires_grad_(False), header=header)


def _bounded(parameters: int, largest: int, tensors: int) -> AbstractContextManager[Any]:
    """A block in which torch makes no more tensors than the weights of a file can fill, whatever its description says.

    Args:
        parameters: weights in the file.
        largest: weights of its largest tensor.
        tensors: how many there are.

    Raises:
        ModelFileError: before memory is taken for more.
    """
    from torch.overrides import TorchFunctionMode

    most, all_together = max(largest, _SPARE), 8 * parameters + 8 * _SPARE
    most_calls = 60 * tensors + 5_000  # models of this package need two to five calls a tensor

    class Bounded(TorchFunctionMode):
        made = calls = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            size = _tensor_size(getattr(func, "__name__", ""), args, kwargs or {})
            self.made, self.calls = self.made + size, self.calls + 1
            if self.calls > most_calls:
                raise ModelFileError(
                    f"its description asks for far more parts than the file has ({tensors} tensors)"
                )
            if size > most or self.made > all_together:
                raise ModelFileError(
                    f"its description asks for a tensor of {size:,} numbers, where all weights are {parameters:,}"
                )
            return func(*args, **(kwargs or {}))

    return Bounded()


def _tensor_size(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Numbers in the tensor that a function of torch would make; 0 for functions of existing tensors."""
    if name not in _MAKERS:
        return 0
    given = [*args, kwargs.get("size", ()), kwargs.get("end", 0)]
    sizes = next((each for each in given if isinstance(each, list | tuple) and len(each)), None)
    numbers = [each for each in given if isinstance(each, int | float) and math.isfinite(each)]
    if sizes is not None:
        return math.prod(int(size) for size in sizes)
    if name in ("arange", "linspace", "logspace", "range"):
        return int(max(numbers, default=0))
    return math.prod(int(number) for number in numbers if number) ** (2 if name == "eye" else 1)


def _safetensors_table(path: Path) -> dict[str, Any]:
    """Header table of a safetensors file: 8 bytes of length, then JSON."""
    try:
        if path.is_dir():
            raise ModelFileError(f"{path}: is a folder, not a model file")
        with path.open("rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            if size > min(_MAX_HEADER_BYTES, path.stat().st_size):
                raise ModelFileError(f"{path}: is not a safetensors file, or is truncated")
            table = _strict_json(file.read(size))
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such model file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {explain(error)}") from None
    except (struct.error, ValueError, RecursionError):
        raise ModelFileError(f"{path}: is not a safetensors file, or is truncated") from None
    if not isinstance(table, dict):
        raise ModelFileError(f"{path}: is not a safetensors file")
    return table
