from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from voiceae.errors import ConfigError
from voiceae.pretrained.packaged import PackagedFile

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with `giant-ears` 2.1 in it, whose import would end the test."""
    about = tmp_path / "giant_ears-2.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: giant-ears\nVersion: 2.1\n")
    package = tmp_path / "giant_ears"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return package


def wanted(path: str = "giant_ears/net.onnx", sha256: str = DIGEST) -> PackagedFile:
    return PackagedFile("giant-ears", "2.0", path, sha256)


def test_a_file_is_found_without_importing_its_package(installed: Path) -> None:
    assert wanted().find() == installed / "net.onnx"
    assert "giant_ears" not in sys.modules


def test_another_file_is_refused_in_one_line_with_both_digests(installed: Path) -> None:
    (installed / "net.onnx").write_bytes(b"other weights")
    with pytest.raises(ConfigError) as error:
        wanted().find()
    other = hashlib.sha256(b"other weights").hexdigest()
    assert all(each in str(error.value) for each in (DIGEST[:12], other[:12], "giant-ears==2.0", "2.1"))
    assert "\n" not in str(error.value)


def test_a_wheel_without_the_file_names_the_version_that_has_it(installed: Path) -> None:
    with pytest.raises(ConfigError, match=r"giant-ears 2\.1 has no big\.onnx; pip install giant-ears==2\.0"):
        wanted("giant_ears/big.onnx").find()


def test_an_absent_package_is_named_with_the_version(installed: Path) -> None:
    with pytest.raises(ConfigError, match=r"tiny-ears is not installed; pip install tiny-ears==3\.0"):
        PackagedFile("tiny-ears", "3.0", "tiny_ears/net.onnx", DIGEST).find()
