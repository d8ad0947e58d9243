from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.tiny import write_model
from voiceae.conversion.backends.manifest import read_weights, stored_tensors
from voiceae.errors import ExportError, ModelFileError
from voiceae.io.modelfile import read_header

TYPES = {"F32": np.float32, "F16": np.float16}


@pytest.mark.parametrize("half", [False, True])
def test_tensors_lie_where_safetensors_finds_them(tmp_path: Path, half: bool) -> None:
    path = write_model(tmp_path / "model.safetensors", half=half)
    data, wanted = path.read_bytes(), load_file(path)
    found = stored_tensors(data)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        stored = found[name]
        bytes_ = data[stored.offset : stored.offset + stored.length]
        np.testing.assert_array_equal(np.frombuffer(bytes_, TYPES[stored.kind]).reshape(stored.shape), value)


@pytest.mark.parametrize("half", [False, True])
def test_the_checksum_is_the_one_that_was_saved(tmp_path: Path, half: bool) -> None:
    path = write_model(tmp_path / "model.safetensors", half=half)
    assert read_weights(path, read_header(path).checksum) == path.read_bytes()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    first, second = (write_model(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (0, 1))
    with pytest.raises(ExportError, match=r"holds weights .*, the export was made of"):
        read_weights(second, read_header(first).checksum)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ExportError, match="damaged model file"):
        read_weights(path, read_header(path).checksum)
    path.write_bytes(data[:100])
    with pytest.raises(ModelFileError, match="truncated"):
        read_weights(path, "")
