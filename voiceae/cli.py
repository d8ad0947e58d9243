"""The `voiceae` command: a group whose sub-commands are imported when they are called, and one way to fail.

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
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click

from voiceae import __version__
from voiceae.errors import FileAccessError, VoiceAEError, printable
from voiceae.hardware import own_threads, wait_passively
from voiceae.io.console import OutputClosed, finish, protect
from voiceae.io.filesystem import reason
from voiceae.processes import Terminated, ending_on_signals

COMMANDS = {
    "convert": "Speak a recording in another voice.",
    "live": "Speak in another voice from microphone to loudspeaker.",
    "embed": "Turn recordings into speaker embeddings, with a map of the voices.",
    "mix": "Speak in a voice between voices.",
    "interpolate": "Go from one sentence to another through the content code.",
    "attribute": "Fit directions among voices, such as gender.",
    "posterior": "Fit where a model's codes and voices lie.",
    "sample": "Draw new voices and contents.",
    "units": "Write speech as units, and speak units.",
    "speakers": "Keep voices under names that work as targets.",
    "info": "Show what a model file says of itself.",
    "prepare": "Turn a corpus into a feature store.",
    "train": "Train a model on a feature store.",
    "vocoder": "Bring in and check vocoders.",
    "export": "Write a model as ONNX graphs, for inference without torch.",
    "evaluate": "Score a model on speakers it never heard.",
    "diagnose": "Look for collapse and leakage in a model.",
    "curves": "Show where a training run departs from another.",
    "bench": "Print how fast every stage runs here.",
}
"""Name and one-line help of every sub-command, so that `voiceae --help` imports none of them."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

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
        """Names of the commands that this installation has."""
        return [name for name in COMMANDS if find_spec(f"voiceae.commands.{name}")]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in self.list_commands(context):
            return None
        return _train() if name == "train" else _command_of(name)

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
        """List the commands by the table above, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(context)])


def _command_of(name: str) -> click.Command:
    module = import_module(f"voiceae.commands.{name}")
    command = getattr(module, "command", None) or getattr(module, name)
    assert isinstance(command, click.Command), f"voiceae.commands.{name} holds no click command"
    return command


def _train() -> click.Command:
    """`voiceae train`: everything after the name goes to Hydra unread, `--help` and `-m` included."""

    @click.command(
        "train",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        help=COMMANDS["train"],
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def train(arguments: tuple[str, ...]) -> Any:
        return import_module("voiceae.commands.train").main(list(arguments))

    return train


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
    own_threads()
    warnings.showwarning = _show_warning
    sys.exit(finish(run(list(sys.argv[1:] if arguments is None else arguments))))


def run(arguments: list[str]) -> int:
    """Run the command line: exit code."""
    try:
        with ending_on_signals():
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
        click.echo(
            f"voiceae: error: {error.name} is not installed, and this needs it; pip install voiceae", err=True
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
