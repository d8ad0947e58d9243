"""Make a trained model or vocoder ready for the package: half precision, with what its training left in the header."""

from __future__ import annotations

import argparse
from pathlib import Path

from voiceae.io import modelfile

MAX_BYTES = {"autoencoder": 22_000_000, "vocoder": 8_000_000}


def write_half(model: Path, out: Path) -> modelfile.ModelHeader:
    """Write a model file again in half precision; its header."""
    header = modelfile.read_header(model)
    modelfile.save(
        out,
        modelfile.load(model, kind=header.kind).module,
        kind=header.kind,
        description=header.description,
        spec=header.spec,
        extra=header.extra,
        half=True,
    )
    return header


def main() -> None:
    """Write MODEL again in half precision as OUT, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    header = write_half(arguments.model, arguments.out)
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {header.parameters} weights, {size} bytes")
    if size > MAX_BYTES[header.kind]:
        raise SystemExit(f"{arguments.out}: more than {MAX_BYTES[header.kind]} bytes; make it smaller")


if __name__ == "__main__":
    main()
