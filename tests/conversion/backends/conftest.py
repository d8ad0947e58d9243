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
