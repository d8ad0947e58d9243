"""Put a trained model into the package: half precision, with everything its training left in the header."""

from __future__ import annotations

import argparse
from pathlib import Path

from voiceae import modelfile

MAX_BYTES = 12_000_000


def main() -> None:
    """Write MODEL again in half precision as OUT, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    loaded = modelfile.load(arguments.model, kind="autoencoder")
    header = loaded.header
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
    if size > MAX_BYTES:
        raise SystemExit(f"{arguments.out}: more than {MAX_BYTES} bytes; make the model smaller")


if __name__ == "__main__":
    main()
