"""Make a trained model or vocoder ready for the package: half precision, with what its training left in the header."""

from __future__ import annotations

import argparse
from pathlib import Path

from voiceae.io import modelfile

MAX_BYTES = {"autoencoder": 12_000_000, "vocoder": 8_000_000}


def main() -> None:
    """Write MODEL again in half precision as OUT, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    header = modelfile.read_header(arguments.model)
    loaded = modelfile.load(arguments.model, kind=header.kind)
    modelfile.save(
        arguments.out,
        loaded.module,
        kind=header.kind,
        description=header.description,
        spec=header.spec,
        extra=header.extra,
        half=True,
    )
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {header.parameters} weights, {size} bytes")
    if size > MAX_BYTES[header.kind]:
        raise SystemExit(f"{arguments.out}: more than {MAX_BYTES[header.kind]} bytes; make it smaller")


if __name__ == "__main__":
    main()
