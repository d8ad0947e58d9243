"""What the options of several commands have in common."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path, readable=False)
"""A path of any kind. Whether it is there and may be read is for the library to say: click would call it wrong usage."""
