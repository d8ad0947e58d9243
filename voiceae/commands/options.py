"""Options and small steps that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path, readable=False)
"""Any path. Whether it is there and may be read is for the library to say: click would call it wrong usage."""


def model_options(*, vocoder: bool = True) -> Callable[[Function], Function]:
    """`--model`, `--device`, and for what is made to sound `--vocoder`."""
    options = [
        click.option(
            "--model", default="base", show_default=True, metavar="NAME|PATH", help="Bundled or own model."
        ),
        click.option(
            "--vocoder",
            default="default",
            show_default=True,
            metavar="NAME|PATH",
            help="griffinlim, a vocoder file or a HiFi-GAN folder.",
        ),
        click.option(
            "--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Where to compute."
        ),
    ]
    chosen = options if vocoder else [options[0], options[2]]

    def add(function: Function) -> Function:
        for option in reversed(chosen):
            function = option(function)
        return function

    return add


def bank_option(function: Function) -> Function:
    """`--bank`."""
    return click.option(
        "--bank",
        type=PATH,
        metavar="FILE",
        help="Bank of speakers; by default $VOICEAE_BANK, or the model's own among the user's data.",
    )(function)


def force_option(function: Function) -> Function:
    """`--force`."""
    return click.option("--force", is_flag=True, help="Overwrite existing files.")(function)


def numbered(out: Path, count: int) -> list[Path]:
    """Names of several sounds after that of one: between.wav -> between-1.wav, between-2.wav, ..."""
    digits = len(str(count))
    return [out.with_name(f"{out.stem}-{number:0{digits}d}{out.suffix}") for number in range(1, count + 1)]


def require_sounds(paths: Iterable[Path], force: bool) -> None:
    """Refuse sounds before the work is done rather than after it."""
    from voiceae.conversion.batch import require_out

    for path in paths:
        require_out(path, force)


def require_files(paths: Sequence[Path | None], force: bool) -> None:
    """Refuse other files likewise; those that are not wanted are None."""
    from voiceae.io.filesystem import require_new

    for path in paths:
        if path is not None:
            require_new(path, force)


def bar(what: str, unit: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A progress bar around items."""
    from tqdm import tqdm

    return lambda items: tqdm(items, desc=what, unit=unit)


def tell(failures: list[Failure], total: int, what: str) -> int:
    """Say on standard error what could not be used: exit code."""
    from voiceae.commands.convert import report

    return report(failures, total, what)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON."""
    import json

    from voiceae.io.filesystem import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
