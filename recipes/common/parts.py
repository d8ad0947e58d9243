"""Files in parts of at most so many bytes, for what carries only small ones: NAME.0, NAME.1, ... and back.

python parts.py split FILE FOLDER [--mib 15]
python parts.py join FOLDER OUT
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

MIB = 1 << 20


def split(file: Path, folder: Path, most: int = 15 * MIB) -> list[Path]:
    """Write a file as parts of at most `most` bytes, replacing those of an earlier file of its name.

    All parts are complete under temporary names before the first takes its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = file.read_bytes()
    parts = [folder / f"{file.name}.{number}" for number in range(max(1, -(-len(data) // most)))]
    for number, part in enumerate(parts):
        part.with_name(f"{part.name}.tmp").write_bytes(data[number * most : (number + 1) * most])
    for part in parts:
        part.with_name(f"{part.name}.tmp").replace(part)
    for stale in set(parts_of(folder).get(file.name, [])) - set(parts):
        stale.unlink()
    return parts


def parts_of(folder: Path) -> dict[str, list[Path]]:
    """Parts in a folder by the name of their file, in order."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        match = re.fullmatch(r"(.+)\.(\d+)", path.name)
        if match:
            found.setdefault(match[1], []).append((int(match[2]), path))
    return {name: [path for _, path in sorted(numbered)] for name, numbered in found.items()}


def join(folder: Path, out: Path) -> dict[str, Path]:
    """Every file of a folder that is in parts, put together in `out`, and model files that are whole: paths by name."""
    found = {path.name: path.resolve() for path in folder.glob("*.safetensors")}
    for name, parts in parts_of(folder).items():
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"".join(part.read_bytes() for part in parts))
        found[name] = (out / name).resolve()
    return found


def main() -> None:
    """Split or join, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    splits = commands.add_parser("split")
    splits.add_argument("file", type=Path)
    splits.add_argument("folder", type=Path)
    splits.add_argument("--mib", type=float, default=15)
    joins = commands.add_parser("join")
    joins.add_argument("folder", type=Path)
    joins.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "split":
        print(*split(given.file, given.folder, int(given.mib * MIB)), sep="\n")
    else:
        print(*join(given.folder, given.out).values(), sep="\n")


if __name__ == "__main__":
    main()
