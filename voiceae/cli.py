"""The `voiceae` command: sub-commands are imported when they are called, and every failure is one line.

Exit codes: 0 done, 1 bad input (one line on standard error), 2 wrong usage, 128 + N ended by signal N (130
interrupted), 141 nobody reads standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from voiceae import __version__
from voiceae.errors import FileAccessError, VoiceAEError, printable
from voiceae.hardware import control_threads, wait_passively
from voiceae.io.console import OutputClosed, finish, protect
from voiceae.io.filesystem import reason
from voiceae.processes import Terminated, signals_as_exceptions

GROUPS = {
    "Convert": {
        "convert": "Convert recordings to another speaker's voice.",
        "live": "Convert the microphone as you speak.",
        "speakers": "Enrol speakers under names that work as targets.",
    },
    "Train": {
        "prepare": "Turn a corpus into a feature store.",
        "train": "Train a model or a vocoder on a feature store.",
    },
    "Measure": {
        "evaluate": "Score a model on held-out speakers.",
        "verify": "Measure how well speaker embeddings tell speakers apart.",
        "diagnose": "Check a model's latents for collapse and leakage.",
        "curves": "Compare the training curves of two runs.",
        "bench": "Measure how fast every stage runs here.",
    },
    "Explore the latent space": {
        "embed": "Compute speaker embeddings, and draw a map of them.",
        "mix": "Convert to a weighted mean of speakers.",
        "interpolate": "Interpolate between the content of two sentences.",
        "attribute": "Fit attribute directions, such as gender.",
        "posterior": "Fit the aggregated posterior of codes and speakers.",
        "sample": "Draw speakers and content, and synthesise them.",
        "units": "Write speech as discrete units, and decode units.",
    },
    "Tools": {
        "info": "Show a model file's header, or how good a clip is as a target.",
        "export": "Write a model as ONNX graphs, for inference without torch.",
        "vocoder": "Import vocoders of other toolkits.",
    },
}
"""Commands by task with their one-line help, so that `voiceae --help` imports none of them."""

COMMANDS = {name: help_text for group in GROUPS.values() for name, help_text in group.items()}

EXTRAS = {
    "joblib": "train",
    "lightning_fabric": "train",
    "tensorboard": "train",
    "matplotlib": "latent",
    "scipy": "latent",
    "sklearn": "latent",
    "jiwer": "eval",
    "pocketsphinx": "eval",
    "pyworld": "eval",
    "resemblyzer": "eval",
    "speechmos": "eval",
    "webrtcvad": "eval",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "dask": "dask",
    "distributed": "dask",
    "sounddevice": "live",
}
"""The extra that brings each optional library; what is not named here comes with the package itself."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}

EXAMPLES = """\b
Examples:
  voiceae convert alice.wav --target bob.wav --out alice-as-bob.wav
  voiceae embed recordings/ --out speakers.npz --plot map.png
  voiceae prepare folder recordings/ --out store/
  voiceae train data.store=store/
  voiceae COMMAND --help"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports a command's module only to run it."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the module of one command."""
        if name not in COMMANDS:
            return None
        command = import_module(f"voiceae.commands.{name}").command
        assert isinstance(command, click.Command), f"voiceae.commands.{name} holds no click command"
        return command

    def invoke(self, context: click.Context) -> Any:
        """Run the command; what the file system refuses is bad input, whoever asked it.

        Errors of these families are turned into ours here, since click has ideas of its own about them: a broken pipe
        exits 1, the early end of a file counts as an interrupt.
        """
        try:
            os.getcwd()  # where there is none, MKL ends the process without a word of ours
            return super().invoke(context)
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise FileAccessError(reason(error)) from error
        except EOFError as error:
            raise VoiceAEError(f"the input ended too early: {error}") from error

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by task, without importing them."""
        for task, commands in GROUPS.items():
            with formatter.section(task):
                # One width for all sections, so that the texts stand under each other.
                formatter.write_dl([(f"{name:<11}", text) for name, text in commands.items()])


@click.group(cls=LazyGroup, context_settings=CONTEXT, epilog=EXAMPLES)
@click.version_option(__version__, "-V", "--version", prog_name="voiceae", message="%(prog)s %(version)s")
def voiceae() -> None:
    """Voice conversion: one speaker's sentence in another's voice, from one reference clip."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    Args:
        arguments: without the program's name; those of the process by default.
    """
    protect()
    wait_passively()
    control_threads()
    warnings.showwarning = _show_warning
    sys.exit(finish(run(list(sys.argv[1:] if arguments is None else arguments))))


def run(arguments: list[str]) -> int:
    """Run the command line: exit code."""
    try:
        with signals_as_exceptions():
            result = voiceae.main(arguments, prog_name="voiceae", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except VoiceAEError as error:
        click.echo(f"voiceae: error: {_one_line(error)}", err=True)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "voiceae").split(".")[0] == "voiceae":
            raise
        extra = EXTRAS.get((error.name or "").split(".")[0])
        wanted = f"'voiceae[{extra}]'" if extra else "voiceae"
        click.echo(
            f"voiceae: error: {error.name} is not installed, and this needs it; pip install {wanted}",
            err=True,
        )
        return 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("voiceae: interrupted", err=True)
        return 130
    except Terminated as ended:
        click.echo(f"voiceae: ended by {signal.Signals(ended.number).name}", err=True)
        return 128 + ended.number
    except OutputClosed:
        return 141


def _one_line(message: object) -> str:
    return printable(" ".join(str(message).split()))


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
    """Our own warnings as one line; those of libraries, which a user cannot mend, not at all."""
    if Path(filename).is_relative_to(Path(__file__).parent) and issubclass(category, UserWarning):
        click.echo(f"voiceae: warning: {_one_line(message)}", err=True)
