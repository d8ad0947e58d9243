"""Which runtime does a conversion: onnxruntime where it can and is faster to start, torch otherwise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from voiceae.assets import GRIFFIN_LIM, find_model, find_vocoder
from voiceae.conversion.backends.manifest import is_export, read_manifest, weights_path
from voiceae.conversion.backends.onnx import ExportedGraphs, ExportedVocoder, OnnxBackend, require_onnxruntime
from voiceae.conversion.batch import VoiceLoader
from voiceae.conversion.embedding_files import is_stored
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError, ExportError, ModelFileError, VoiceAEError
from voiceae.io.audio import header_seconds
from voiceae.io.modelfile import read_header

if TYPE_CHECKING:
    from voiceae.specs import AudioSpec

RUNTIMES = ("auto", "onnx", "torch")
AUTO_SECONDS = 300.0
"""Importing torch costs some 1.5 s of computing, which it makes up for in the vocoder after about this much audio. From
there on torch also converts in chunks, with the statistics of the whole recording."""
_VOCODER = "vocoder"


@dataclass(frozen=True, kw_only=True)
class OnnxVoiceLoader(VoiceLoader):
    """What a voice is loaded from where onnxruntime does the work.

    Attributes:
        strict: raise where an export cannot be used, instead of going on with torch.
    """

    strict: bool = True

    def load(self) -> Voice:
        """Load the voice, over graphs.

        Raises:
            ModelFileError: when model or vocoder have no export, or one that cannot be used.
            ConfigError: when onnxruntime is not installed, or another device than the CPU is asked for.
        """
        try:
            require_onnxruntime()
            if self.device not in ("auto", "cpu"):
                raise ConfigError(
                    f"runtime onnx computes on the CPU, not on {self.device}; use --runtime torch"
                )
            folder = find_export(self.model)
            graphs = ExportedGraphs(folder, "autoencoder")
            vocoder = _vocoder_export(folder, self.vocoder, graphs.manifest.spec)
            return Voice(OnnxBackend(graphs, ExportedVocoder(ExportedGraphs(vocoder, "vocoder"))))
        except ExportError as error:
            if self.strict:
                raise
            warnings.warn(f"{error}; going on with torch", stacklevel=2)
            return VoiceLoader(model=self.model, vocoder=self.vocoder, device=self.device).load()


def select_backend(loader: VoiceLoader, runtime: str, recordings: Sequence[str] | None) -> VoiceLoader:
    """What to load the voice from.

    Args:
        loader: model, vocoder and device asked for.
        runtime: one of `RUNTIMES`. "auto" takes onnxruntime for short recordings on any CPU, if it is installed and
            model and vocoder have been exported.
        recordings: source and targets; None for a batch, where starting costs little.

    Raises:
        ConfigError: for another runtime, or when torch is asked for and is not installed.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f"runtime {runtime!r}: is unknown; use {', '.join(RUNTIMES)}")
    portable = OnnxVoiceLoader(model=loader.model, vocoder=loader.vocoder, device=loader.device)
    if runtime == "onnx":
        return portable
    if not _installed("torch"):
        if runtime == "torch":
            raise ConfigError(
                "runtime torch: torch is not installed; pip install voiceae, or use --runtime onnx"
            )
        return portable
    if runtime == "auto" and recordings is not None and _suits(portable, recordings):
        return replace(portable, strict=False)
    return _for_torch(loader)


def find_export(model: str | Path) -> Path:
    """The export of a model: a folder that was given, or `NAME.onnx` beside the model file `NAME.safetensors`.

    Raises:
        ModelFileError: when there is none, or it was made of other weights.
    """
    if is_export(Path(model)):
        return Path(model)
    path = find_model(model)
    folder = path.with_suffix(".onnx")
    header = read_header(path)
    if not is_export(folder):
        raise ModelFileError(
            f"{model}: has no ONNX export; run: voiceae export {model} --out {folder}, or use --runtime torch"
        )
    if read_manifest(folder, header.kind).checksum != header.checksum:
        raise ExportError(f"{folder}: was made of other weights than {path} has; export the model again")
    return folder


def _vocoder_export(model: Path, vocoder: str | Path, spec: AudioSpec) -> Path:
    """Folder of the vocoder asked for.

    Raises:
        ConfigError: for Griffin-Lim, which is no network.
    """
    if str(vocoder) == "default" and is_export(model / _VOCODER):
        return model / _VOCODER
    found = find_vocoder(vocoder, spec)
    if found == GRIFFIN_LIM:
        raise ConfigError(f"vocoder {GRIFFIN_LIM} needs torch: use --runtime torch, or another vocoder")
    return find_export(found)


def _suits(loader: OnnxVoiceLoader, recordings: Sequence[str]) -> bool:
    """Whether nothing is lost by going without torch."""
    if loader.device not in ("auto", "cpu") or not _installed("onnxruntime"):
        return False
    if any(not is_stored(each) and header_seconds(each) > AUTO_SECONDS for each in recordings):
        return False
    try:
        folder = find_export(loader.model)
        _vocoder_export(folder, loader.vocoder, read_manifest(folder, "autoencoder").spec)
    except VoiceAEError as error:
        return isinstance(error, ExportError)  # loading it will say what is wrong, and go on
    return True


def _for_torch(loader: VoiceLoader) -> VoiceLoader:
    """An export holds the model's own file, and its vocoder's; torch reads those."""
    folder = Path(loader.model)
    if not is_export(folder):
        return loader
    model = weights_path(folder, read_manifest(folder, "autoencoder"))
    beside = folder / _VOCODER
    if loader.vocoder == "default" and is_export(beside):
        return replace(
            loader, model=str(model), vocoder=str(weights_path(beside, read_manifest(beside, "vocoder")))
        )
    return replace(loader, model=str(model))


def _installed(name: str) -> bool:
    """Whether a package can be imported; found out without importing it."""
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
