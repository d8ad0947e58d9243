"""Options that several commands share, worded once, and the small steps around a library call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

if TYPE_CHECKING:
    from voiceae.conversion.batch import Failure
    from voiceae.conversion.voice import Voice

Result = TypeVar("Result")
Function: TypeAlias = Callable[..., Any]
Option: TypeAlias = Callable[[Function], Function]

PATH = click.Path(path_type=Path, readable=False)
"""Any path. Whether it is there and may be read is for the library to say: click would call it wrong usage."""

model: Option = click.option(
    "--model", default="base", metavar="NAME|PATH", help="Bundled model, or a model file."
)
vocoder: Option = click.option(
    "--vocoder",
    default="default",
    metavar="NAME|PATH",
    help="griffinlim, a vocoder file or a HiFi-GAN folder; the bundled vocoder by default.",
)
force: Option = click.option("--force", is_flag=True, help="Overwrite existing files.")
seed: Option = click.option("--seed", default=0, help="Seed of everything that is drawn.")
bank: Option = click.option(
    "--bank",
    type=PATH,
    metavar="FILE",
    help="Bank of speakers (voiceae speakers); by default $VOICEAE_BANK, or the model's own among the user's data.",
)
targets: Option = click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="FILE",
    help="Recording of the target speaker, at least 0.5 s, a stored embedding (FILE.npz:NAME), or a name of the "
    "bank; given several times, the voices are averaged.",
)
recordings: Option = click.argument("paths", nargs=-1, required=True, metavar="PATH...")


def clips(default: int) -> Option:
    """`--clips`: how many recordings of each speaker a fit takes."""
    return click.option(
        "--clips", default=default, type=click.IntRange(1), help="Recordings of each speaker, at most."
    )


@dataclass(frozen=True)
class VoiceChoice:
    """What `--model`, `--vocoder` and `--device` name; cheap until something is loaded."""

    model: str
    vocoder: str
    device: str

    def load(self) -> Voice:
        """Load the voice; see `voiceae.load`."""
        from voiceae.conversion.voice import load

        return load(self.model, self.vocoder, self.device)

    def posterior_path(self, voice: Voice) -> Path:
        """Where the posterior of this model is kept by default."""
        from voiceae.assets import bundled, find_model
        from voiceae.latent.posterior import posterior_path

        return posterior_path(find_model(self.model), voice.fingerprint, list(bundled().values()))


def voice(*, sound: bool = True, device: str = "auto") -> Option:
    """`--model`, `--device` and, for commands that make sound, `--vocoder`: one argument `choice`.

    Args:
        sound: whether there is `--vocoder`; without it Griffin-Lim is taken, which loads no network.
        device: by default.
    """
    where = click.option(
        "--device",
        default=device,
        metavar="auto|cpu|cuda",
        help="Where to compute; auto takes a GPU where there is one.",
    )

    def add(function: Function) -> Function:
        # `wraps` also copies the options that click has noted on the function so far.
        @functools.wraps(function)
        def command(*, model: str, device: str, vocoder: str = "griffinlim", **others: Any) -> Any:
            return function(choice=VoiceChoice(model, vocoder, device), **others)

        with_device = where(command)
        return model(vocoder(with_device) if sound else with_device)

    return add


def numbered(out: Path, count: int) -> list[Path]:
    """Names of several sounds after that of one: between.wav -> between-1.wav, between-2.wav, ..."""
    digits = len(str(count))
    return [out.with_name(f"{out.stem}-{number:0{digits}d}{out.suffix}") for number in range(1, count + 1)]


def require_sounds(paths: Iterable[Path], force: bool) -> None:
    """Refuse names of sounds before the work is done rather than after it."""
    from voiceae.conversion.batch import require_out

    for path in paths:
        require_out(path, force)


def require_files(paths: Sequence[Path | None], force: bool) -> None:
    """Refuse names of other files likewise; those that are not asked for are None."""
    from voiceae.io.filesystem import require_new

    for path in paths:
        if path is not None:
            require_new(path, force)


def progress(what: str, unit: str = "it", total: int | None = None) -> Callable[[Iterable[Any]], Any]:
    """A progress bar around items, on standard error."""
    from tqdm import tqdm

    return lambda items: tqdm(items, desc=what, unit=unit, total=total)


def counted_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """A progress bar around items whose number is known beforehand."""
    return progress(what, total=total)(items)


def find_recordings(paths: Iterable[str]) -> tuple[dict[Path, str], list[Failure]]:
    """Recordings among files and folders with their speakers, and the folders that cannot be opened."""
    from voiceae.conversion import batch

    closed: list[Failure] = []
    return batch.find_recordings(paths, closed), closed


def try_each(
    files: Iterable[Path], work: Callable[[Path], Result], bar: Callable[[Iterable[Any]], Any]
) -> tuple[dict[Path, Result], list[Failure]]:
    """Go on past files that cannot be used: what `work` gives for the others, and the reasons."""
    from voiceae.conversion.batch import Failure
    from voiceae.io.filesystem import FILE_ERRORS, reason

    results, failures = {}, []
    for file in bar(files):
        try:
            results[file] = work(file)
        except FILE_ERRORS as error:
            failures.append(Failure(str(file), reason(error, file)))
    return results, failures


def report_failures(failures: Sequence[Failure], total: int, what: str) -> int:
    """Name on standard error what could not be used, one line each: exit code."""
    for failure in failures:
        click.echo(f"voiceae: {failure.where}: {failure.reason}", err=True)
    if failures:
        click.echo(f"voiceae: error: {len(failures)} of {total} {what} could not be used", err=True)
    return 1 if failures else 0


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    from voiceae.io.filesystem import atomic_path

    with atomic_path(path) as temporary:
        # File names that are not UTF-8 hold lone surrogates, which no encoder takes as they are.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON."""
    import json

    write_text(path, json.dumps(values, indent=1) + "\n")
