"""A tiny model with its export beside it, for tests of either side of an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import write_model

CLIPS = sorted((Path(__file__).resolve().parents[1] / "recipes/demo/clips").glob("*_1.flac"))
"""One clip each of two voices."""


def write_exported(folder: Path, *, timbre: bool = False) -> Path:
    """`tiny.safetensors`, and `tiny.onnx` beside it: the model file."""
    pytest.importorskip("onnx", reason="exporting needs the extra `onnx`")
    pytest.importorskip("onnxruntime", reason="exports are run by onnxruntime")
    from voiceae.conversion.backends.export import export

    model = write_model(folder / "tiny.safetensors", timbre=timbre)
    export(model, folder / "tiny.onnx", clips=CLIPS, graphs_only=True)
    return model
