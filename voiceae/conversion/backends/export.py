"""`export`: a model, and its vocoder, as a folder of ONNX graphs, which is compared with torch before it is let out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voiceae import __version__
from voiceae.assets import GRIFFIN_LIM, find_model, find_vocoder
from voiceae.conversion.backends.base import Backend, Floats
from voiceae.conversion.backends.export_graphs import (
    OPSET,
    Graph,
    model_graphs,
    point_into,
    trace,
    vocoder_graph,
)
from voiceae.conversion.backends.manifest import Manifest, is_export, stored_tensors
from voiceae.conversion.backends.onnx import ExportedGraphs, ExportedVocoder, OnnxBackend
from voiceae.conversion.backends.torch import TorchBackend, load_backend
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.dsp.loudness import normalise
from voiceae.dsp.mel import LogMel
from voiceae.errors import ConfigError, ExportError, ModelFileError, OutputError
from voiceae.io import audio as audio_io
from voiceae.io import modelfile
from voiceae.io.filesystem import atomic_folder, exists
from voiceae.io.locks import locked
from voiceae.specs import MIN_SOURCE_SECONDS, MIN_TARGET_SECONDS, AudioSpec
from voiceae.vocoders import hifigan
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.load import load_vocoder
from voiceae.vocoders.sourcefilter import SourceFilter

VOCODER_FOLDER = "vocoder"
_AUDIBLE = np.log(1e-3)  # natural-log mel; weaker bins carry few digits in float32
LIMITS = {
    "features_mean": 1e-5,
    "features_loud": 1e-3,
    "features_quiet": 1e-2,
    "speaker": 1e-4,
    "mel_mean": 1e-3,
    "mel_max": 1e-2,
    "wav": 1e-3,
    "turned_wav": 1e-2,
}
"""Largest differences that are let through: the features' from the exact log-mel, as the tests of `LogMel` have them
against librosa; the others from torch's result. `wav` is relative to the root mean square of the wave; `turned_wav` is
that of a vocoder which adds up a phase from frame to frame, and with it every rounding of the fundamental."""


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

    Nothing is written when the graphs differ from torch on the clips by more than `LIMITS`.

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
    ours = load_backend(source.path, GRIFFIN_LIM, "cpu")
    values = {
        "embedding_size": ours.embedding_size,
        "matching": float(ours.matching),
        "reads_pitch": ours.reads_pitch,
        "timbre_dim": ours.timbre_dim,
    }
    moments = {"mel_mean": ours.model.mel_mean, "mel_deviation": ours.model.mel_deviation}
    statistics = {
        name: [float(f"{x:.6g}") for x in value.flatten().tolist()] for name, value in moments.items()
    }
    manifest = _write(source, folder, model_graphs(ours.model, ours.spec), values, statistics)
    try:
        found = compare_models(ours, ExportedGraphs(folder, "autoencoder"), clips)
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
        hifigan.convert(Path(found), source.path)
    _export_vocoder(source, folder, clips)


def _export_vocoder(source: Source, folder: Path, clips: Sequence[Path]) -> Manifest:
    module = modelfile.load(source.path, kind="vocoder").module
    if not isinstance(module, Vocoder):
        raise ModelFileError(f"{source.path}: {type(module).__name__} is no vocoder")
    values = {
        "design": "sourcefilter" if isinstance(module, SourceFilter) else "network",
        "piece_frames": int(module.piece_frames),
        "context_frames": int(module.context_frames),
    }
    if isinstance(module, SourceFilter):
        values["bins"] = module.bins  # of the basis and the noise that the graph is given
    manifest = _write(source, folder, {"vocoder": vocoder_graph(module)}, values, {})
    transform, spec = LogMel(module.spec), module.spec
    with torch.inference_mode():
        mels = [transform(torch.from_numpy(_normalised(clip, spec))).numpy() for clip in clips]
    found = compare_vocoders(module, ExportedVocoder(ExportedGraphs(folder, "vocoder")), mels)
    return _finished(manifest, found, clips, folder)


def _write(
    source: Source,
    folder: Path,
    graphs: Mapping[str, Graph],
    values: dict[str, Any],
    statistics: dict[str, list[float]],
) -> Manifest:
    """Write graphs, their SHA-256 and what they are into a manifest."""
    tensors, sums = stored_tensors(source.path.read_bytes()), {}
    for name, graph in graphs.items():
        traced = trace(graph)
        point_into(traced, source.name, tensors)
        data = traced.SerializeToString(deterministic=True)
        (folder / f"{name}.onnx").write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    header = modelfile.read_header(source.path)
    programs = {name: version(name) for name in ("torch", "onnx", "onnxruntime")}
    manifest = Manifest(
        kind=header.kind,
        name=source.path.stem,
        spec=header.spec,
        checksum=header.checksum,
        weights=source.name,
        graphs=sums,
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


def _normalised(clip: Path, spec: AudioSpec) -> Floats:
    """A clip at the model's rate and the common level: -> (N,)."""
    wav = audio_io.load(clip, spec.sample_rate, min_seconds=MIN_TARGET_SECONDS).wav
    return normalise(wav, spec.sample_rate).wav


@dataclass
class Differences:
    """The largest difference of every kind so far."""

    largest: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Take note of one; NaN counts as infinite."""
        value = float(value) if np.isfinite(value) else np.inf
        self.largest[name] = max(self.largest.get(name, 0.0), value)

    def require_small(self, what: str) -> None:
        """Refuse an export that differs.

        Raises:
            ModelFileError: when any difference is beyond its limit.
        """
        wrong = {name: value for name, value in self.largest.items() if not value <= LIMITS[name]}
        if wrong:
            listed = ", ".join(
                f"{name} by {value:.2g} (at most {LIMITS[name]:g})" for name, value in wrong.items()
            )
            raise ModelFileError(f"{what}: the graphs differ from torch: {listed}; nothing was written")


def compare_models(ours: TorchBackend, graphs: ExportedGraphs, clips: Sequence[Path]) -> Differences:
    """Every clip in the voice of the next, by torch and by the graphs.

    Args:
        ours: the model on torch, on the CPU.
        graphs: what was exported of it.
        clips: real speech, each at least 0.5 s long.
    """
    theirs = OnnxBackend(graphs)
    found, exact = Differences(), LogMel(ours.spec).double()
    for clip, other in zip(clips, islice(cycle(clips), 1, None), strict=False):
        wav, reference = (_normalised(each, ours.spec) for each in (clip, other))
        exported_mel = theirs.features(wav)
        with torch.inference_mode():
            padded = np.pad(wav, (0, ours.spec.pad_to_hop(len(wav))))
            wanted = exact(torch.from_numpy(padded).double()).numpy()
        difference, audible = np.abs(exported_mel - wanted), wanted > _AUDIBLE
        found.note("features_mean", difference.mean())
        found.note("features_loud", difference[audible].max(initial=0.0))
        found.note("features_quiet", difference[~audible].max(initial=0.0))

        mel, reference_mel = ours.features(wav), ours.features(reference)
        profile, exported = ours.describe(reference_mel), theirs.describe(theirs.features(reference))
        found.note("speaker", np.abs(profile.embedding - exported.embedding).max())
        _compare_mels(found, _converted(ours, mel, profile), _converted(theirs, exported_mel, exported))
        # Lengths that a trace may have frozen: every remainder of the code's rate, half, and the shortest there is.
        frames, shortest = mel.shape[1], ours.spec.seconds_to_frames(MIN_SOURCE_SECONDS)
        lengths = {*(frames - cut for cut in range(ours.model.rate + 1)), frames // 2, shortest}
        for length in sorted(each for each in lengths if shortest <= each <= frames):
            part = np.ascontiguousarray(mel[:, :length])
            for voice in (
                profile,
                SpeakerProfile(profile.embedding),
            ):  # the latter: all that an embedding says
                _compare_mels(found, _converted(ours, part, voice), _converted(theirs, part, voice))
    return found


def compare_vocoders(vocoder: Vocoder, exported: ExportedVocoder, mels: Sequence[Floats]) -> Differences:
    """Every mel (M, T) spoken by both; one of them several times over, so that it takes more than one piece."""
    found, name = Differences(), "turned_wav" if isinstance(vocoder, SourceFilter) else "wav"
    for mel in (*mels, np.tile(mels[0], (1, 4))):
        with torch.inference_mode():
            wanted = vocoder(torch.from_numpy(mel)[None])[0].numpy()
        error, size = (float(np.sqrt(np.mean(np.square(x)))) for x in (exported(mel) - wanted, wanted))
        found.note(name, error / max(size, 1e-12))
    return found


def _compare_mels(found: Differences, wanted: Floats, exported: Floats) -> None:
    if wanted.shape != exported.shape:
        raise ModelFileError(
            f"a mel of {wanted.shape} came out of the graphs as {exported.shape}; nothing was written"
        )
    difference = np.abs(exported - wanted)
    found.note("mel_mean", difference.mean())
    found.note("mel_max", difference.max())


def _converted(backend: Backend, mel: Floats, profile: SpeakerProfile) -> Floats:
    """(M, T) -> (M, T), in the voice."""
    return backend.decode(backend.encode(mel), profile, backend.matching)
