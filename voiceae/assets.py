"""The models and vocoders that come with the package, by name: the one place that knows the bundled files."""

from __future__ import annotations

from pathlib import Path

from voiceae.errors import ModelFileError, VocoderError
from voiceae.io.filesystem import as_path, exists
from voiceae.io.modelfile import read_header
from voiceae.specs import AudioSpec

GRIFFIN_LIM = "griffinlim"
ASSETS = Path(__file__).parent / "assets"


def bundled(kind: str | None = None) -> dict[str, Path]:
    """Files inside the package by name, all or those of one kind."""
    paths = sorted(ASSETS.glob("*.safetensors"))
    return {path.stem: path for path in paths if kind in (None, read_header(path).kind)}


def find_model(name_or_path: str | Path) -> Path:
    """Path of a model, by bundled name or by path; a bundled name wins over a file of that name.

    Raises:
        ModelFileError: when it is neither.
    """
    ours = bundled()
    found = ours.get(str(name_or_path)) or as_path(name_or_path, "model", ModelFileError)
    if not exists(found):
        names = ", ".join(ours) or "none in this installation"
        raise ModelFileError(f"{name_or_path}: no such model; give a model file or a bundled name ({names})")
    return found


def find_vocoder(name_or_path: str | Path, spec: AudioSpec) -> str:
    """What `load_vocoder` is to load; "default" is a bundled vocoder of this mel, else Griffin-Lim."""
    ours = bundled("vocoder")
    as_path(name_or_path, "vocoder", VocoderError)
    if str(name_or_path) != "default":
        return str(ours.get(str(name_or_path), name_or_path))
    fitting = (str(path) for path in ours.values() if read_header(path).spec == spec)
    return next(fitting, GRIFFIN_LIM)
