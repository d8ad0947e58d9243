"""One exported model for all tests that only read it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.exported import write_exported


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with its export beside it."""
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def export_folder(exported_model: Path) -> Path:
    """The export."""
    return exported_model.with_suffix(".onnx")


@pytest.fixture
def spoilt(exported_model: Path, tmp_path: Path) -> Path:
    """A copy of both that may be damaged: the export."""
    shutil.copytree(exported_model.parent, tmp_path / "copy")
    return tmp_path / "copy" / "tiny.onnx"


@pytest.fixture(scope="session")
def other_vocoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a small vocoder of another mel."""
    from tests.exported import CLIPS
    from tests.vocoders.test_base import TINY
    from voiceae.conversion.backends.export import export
    from voiceae.io import modelfile
    from voiceae.specs import AudioSpec

    spec, path = AudioSpec(hop_length=128), tmp_path_factory.mktemp("other") / "other.safetensors"
    sizes = {**TINY, "upsample_rates": [16, 8], "upsample_kernel_sizes": [16, 8]}
    description = {"_target_": "voiceae.vocoders.hifigan.HiFiGAN", "spec": spec.to_dict(), **sizes}
    modelfile.save(path, modelfile.build(description), kind="vocoder", description=description, spec=spec)
    export(path, path.with_suffix(".onnx"), clips=CLIPS, graphs_only=True)
    return path.with_suffix(".onnx")
