"""`export`: a model, and its vocoder, as a folder of graphs that `voiceae.onnx` runs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from voiceae import __version__
from voiceae.assets import find_model, find_vocoder
from voiceae.conversion.backends.export_check import LIMITS, Differences, check_vocoder, check_voice
from voiceae.conversion.backends.export_graphs import (
    OPSET,
    Correct,
    Decode,
    Describe,
    Encode,
    ReadPitch,
    Speak,
    features_graph,
    point_into,
    trace,
    without_docs,
)
from voiceae.conversion.backends.manifest import Manifest, is_export
from voiceae.conversion.backends.onnx_vocoders import GRIFFIN_LIM, exported_vocoder, open_vocoder
from voiceae.conversion.backends.onnx_voice import PortableVoice
from voiceae.conversion.backends.sessions import Export, stored_tensors
from voiceae.conversion.voice import TARGET_SECONDS, Voice, load
from voiceae.dsp.loudness import normalise
from voiceae.dsp.mel import LogMel
from voiceae.errors import ConfigError, ExportError, ModelFileError, OutputError
from voiceae.io import audio as audio_io
from voiceae.io import modelfile
from voiceae.io.filesystem import atomic_folder, exists
from voiceae.io.locks import locked
from voiceae.models import Autoencoder
from voiceae.specs import AudioSpec
from voiceae.vocoders import hifigan as checkpoint
from voiceae.vocoders.base import PIECE_FRAMES, Vocoder, load_vocoder
from voiceae.vocoders.sourcefilter import SourceFilter


def require_free(path: Path, force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        OutputError: when `path` exists and is anything but an earlier export that `force` says to replace.
    """
    if not exists(path):
        return
    if not is_export(path):
        raise OutputError(f"{path}: exists already and is no export; give a folder that is not there yet")
    if not force:
        raise OutputError(f"{path}: exists already; use --force to replace it")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Temporary folder beside `path` that takes its place when the block succeeds and vanishes when it fails.

    An earlier export is there until the new one is, whatever fails.

    Raises:
        OutputError: when it cannot be made (a full disk, no permission), or another process is writing it.
    """
    with locked(path, "wait until that export has ended"), atomic_folder(path) as temporary:
        yield temporary


VOCODER_FOLDER = "vocoder"
_TRACED_FRAMES = 127  # of the example that is followed; a multiple of nothing


@dataclass(frozen=True)
class Source:
    """A model file, and the name that graphs know it by.

    Attributes:
        path: where it is.
        name: that of the file the graphs point into, in the export or beside it.
    """

    path: Path
    name: str


def export(
    model: str | Path,
    out: Path,
    *,
    vocoder: str | Path = "default",
    clips: Sequence[Path],
    force: bool = False,
    graphs_only: bool = False,
) -> Manifest:
    """Write a model as ONNX graphs, and with it the vocoder where that is a network.

    Nothing is written when the graphs differ from torch on the clips by more than `check.LIMITS`.

    Args:
        model: a bundled name or a path; of a model or of a vocoder alone.
        out: the folder to write.
        vocoder: as for `voiceae.load`; of a model only.
        clips: real speech to compare on.
        force: replace an earlier export.
        graphs_only: leave the weights in the model file, which `out` then stands beside.

    Raises:
        VoiceAEError: when the model cannot be loaded, exported or written, or the graphs differ from torch.
    """
    require_free(out, force)
    path = find_model(model)
    if graphs_only and out.resolve().parent != path.resolve().parent:
        raise ConfigError(
            f"{out}: graphs without weights belong beside {path}; give --out {path.with_suffix('.onnx')}"
        )
    kind = modelfile.read_header(path).kind
    source = Source(
        path, path.name if graphs_only else f"{'model' if kind == 'autoencoder' else kind}.safetensors"
    )
    with whole_folder(out) as folder:
        if not graphs_only:
            shutil.copyfile(path, folder / source.name)
        if kind == "vocoder":
            return _export_vocoder(source, folder, clips)
        if not graphs_only:
            _export_beside(vocoder, modelfile.read_header(path).spec, folder / VOCODER_FOLDER, clips)
        return _export_model(source, folder, clips)


def _export_model(source: Source, folder: Path, clips: Sequence[Path]) -> Manifest:
    voice = load(source.path, GRIFFIN_LIM, "cpu")
    model = voice.model
    mel = torch.randn(1, voice.spec.n_mels, _TRACED_FRAMES, generator=torch.Generator().manual_seed(0)) - 5.0
    graphs = {
        "features": features_graph(voice.spec),
        "describe": trace(Describe(model), [mel], {"mel": 2}),
        "encode": trace(Encode(model), [mel], {"mel": 2, "units": 2, "pitch": 2}),
        "decode": trace(Decode(model), _example(voice, mel), {"units": 2, "pitch": 2, "mel": 2}),
    }
    values = {"embedding_size": voice.embedding_size, "matching": float(model.matching)}
    statistics = _statistics(model)
    manifest = _describe(source, folder, _written(source, folder, graphs), values, statistics)
    portable = PortableVoice(export=Export(folder, "autoencoder"), vocoder=open_vocoder(None, voice.spec))
    try:
        found = check_voice(voice, portable, clips)
    except ExportError as error:
        raise ModelFileError(
            f"{source.path}: cannot be exported: a trace of it is not free in length ({error})"
        ) from None
    return _finished(manifest, found, clips, folder)


def _export_beside(vocoder: str | Path, spec: AudioSpec, folder: Path, clips: Sequence[Path]) -> None:
    """The vocoder that goes with a model, where it is a network."""
    found = find_vocoder(vocoder, spec)
    if found == GRIFFIN_LIM:
        return
    load_vocoder(found, spec)  # says what is wrong with it
    folder.mkdir()
    source = Source(folder / "vocoder.safetensors", "vocoder.safetensors")
    if Path(found).suffix == ".safetensors":
        shutil.copyfile(found, source.path)
    else:
        checkpoint.convert(Path(found), source.path)
    _export_vocoder(source, folder, clips)


def _export_vocoder(source: Source, folder: Path, clips: Sequence[Path]) -> Manifest:
    module = modelfile.load(source.path, kind="vocoder").module
    if not isinstance(module, Vocoder):
        raise ModelFileError(f"{source.path}: {type(module).__name__} is no vocoder")
    own = isinstance(module, SourceFilter)
    values = {
        "design": "sourcefilter" if own else "network",
        "piece_frames": PIECE_FRAMES if own else int(module.piece_frames),  # type: ignore[arg-type]
        "context_frames": int(module.context_frames),
    }
    graphs = _own_graphs(module) if isinstance(module, SourceFilter) else _network_graph(module)
    manifest = _describe(source, folder, _written(source, folder, graphs), values, {})
    portable = exported_vocoder(Export(folder, "vocoder"))
    mels = [_mel(clip, module.spec) for clip in clips]
    return _finished(manifest, check_vocoder(module, portable, mels), clips, folder)


def _network_graph(module: Vocoder) -> dict[str, onnx.ModelProto]:
    """A vocoder that is one pass, and says so by having a `generate`."""
    if not hasattr(module, "generate"):
        raise ModelFileError(
            f"{module.name}: {type(module).__name__} cannot be exported; it is not one network"
        )
    example = torch.full((1, module.spec.n_mels, _TRACED_FRAMES), -5.0)
    return {"vocoder": trace(Speak(module), [example], {"mel": 2, "wav": 1})}


def _own_graphs(module: SourceFilter) -> dict[str, onnx.ModelProto]:
    mel = torch.full((1, module.spec.n_mels, _TRACED_FRAMES), -5.0)
    f0 = torch.full((1, _TRACED_FRAMES), 150.0)
    lengths = {"mel": 2, "heard": 1, "f0": 1, "gain": 1, "share": 1, "phase": 1}
    return {
        "pitch": trace(ReadPitch(module), [mel], {"mel": 2, "f0": 1}),
        "corrections": trace(Correct(module), [mel, mel.transpose(1, 2), f0], lengths),
    }


def _written(source: Source, folder: Path, graphs: Mapping[str, onnx.ModelProto]) -> dict[str, str]:
    """Write the graphs; returns their SHA-256 by name."""
    tensors, sums = stored_tensors(source.path.read_bytes()), {}
    for name, graph in graphs.items():
        prefix = "vocoder." if name in ("vocoder", "pitch", "corrections") else "model."
        point_into(graph, prefix, source.name, tensors)
        data = without_docs(graph).SerializeToString(deterministic=True)
        (folder / f"{name}.onnx").write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    return sums


def _describe(
    source: Source,
    folder: Path,
    graphs: dict[str, str],
    values: dict[str, Any],
    statistics: dict[str, list[float]],
) -> Manifest:
    header = modelfile.read_header(source.path)
    programs = {name: version(name) for name in ("torch", "onnx", "onnxruntime")}
    manifest = Manifest(
        kind=header.kind,
        name=source.path.stem,
        spec=header.spec,
        checksum=header.checksum,
        weights=source.name,
        graphs=graphs,
        values=values,
        statistics=statistics,
        versions={"voiceae": __version__, **programs, "opset": str(OPSET)},
    )
    manifest.write(folder)
    return manifest


def _finished(manifest: Manifest, found: Differences, clips: Sequence[Path], folder: Path) -> Manifest:
    """Keep what was found, if it is small."""
    found.require_small(manifest.name)
    rounded = {name: float(f"{value:.3g}") for name, value in found.largest.items()}
    limits = {name: LIMITS[name] for name in rounded}
    manifest.checked.update(clips=[clip.name for clip in clips], largest=rounded, allowed=limits)
    manifest.write(folder)
    return manifest


def _example(voice: Voice, mel: torch.Tensor) -> list[torch.Tensor]:
    """What `Decode` takes, plausible enough to be followed."""
    with torch.no_grad():
        content = voice.model.encode(mel)
    units, pitch = content.units, content.pitch
    speaker = torch.nn.functional.normalize(torch.ones(1, voice.embedding_size), dim=-1)
    mean, deviation = torch.full((1, voice.spec.n_mels), -5.0), torch.ones(1, voice.spec.n_mels)
    octaves, many = torch.full((1,), 0.2), torch.full((1,), 100.0)
    return [units, pitch, speaker, octaves, mean, deviation, many, torch.tensor(1.0)]


def _statistics(model: Autoencoder) -> dict[str, list[float]]:
    pairs = {"mel_mean": model.mel_mean, "mel_deviation": model.mel_deviation}
    return {name: [float(f"{x:.6g}") for x in value.flatten().tolist()] for name, value in pairs.items()}


def _mel(clip: Path, spec: AudioSpec) -> NDArray[np.float32]:
    """Log-mel of a clip at the common level: -> (M, T)."""
    wav = normalise(
        audio_io.load(clip, spec.sample_rate, min_seconds=TARGET_SECONDS).wav, spec.sample_rate
    ).wav
    with torch.inference_mode():
        return LogMel(spec)(torch.from_numpy(wav)).numpy()
