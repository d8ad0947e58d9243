"""`voiceae train`: Hydra composes the config from the arguments, the training loop runs it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from voiceae.errors import ConfigError, VoiceAEError
from voiceae.processes import Terminated


@click.command(
    "train",
    # Everything after the name goes to Hydra unread, `--help` and `-m` included.
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Train a model or a vocoder on a feature store."""
    main(list(arguments))


def main(arguments: Sequence[str]) -> None:
    """Train as Hydra overrides say; `--help`, `--cfg job`, `-m` and launchers are Hydra's own.

    Args:
        arguments: `experiment=NAME key=value ...`, unread.

    Raises:
        VoiceAEError: for a wrong config, before torch is imported, or a training that cannot go on.
    """
    if not any(argument.startswith("-") for argument in arguments):
        check(arguments)  # Hydra composes twice before it tells that something is wrong

    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from voiceae.training.settings import CONFIG_NAME, config_dir, one_line

    process_arguments = list(sys.argv)

    def job(config: Any) -> None:
        sys.argv = process_arguments  # with which Fabric starts the other processes of a node
        train(config)

    run = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=CONFIG_NAME)(job)
    try:
        with hydra_raises():
            sys.argv = [process_arguments[0], *arguments]
            run()
    except Refused as refused:
        raise refused.error from refused.error.__cause__
    except (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(one_line(error)) from error
    finally:
        sys.argv = process_arguments


class LogToStderr(logging.Handler):
    """Log records of the training, one line each on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record's message."""
        click.echo(f"voiceae: {record.getMessage()}", err=True)


class Refused(BaseException):
    """Carries an error of ours through Hydra, which would print and swallow an `Exception`."""

    def __init__(self, error: VoiceAEError) -> None:
        super().__init__(error)
        self.error = error


def check(arguments: Sequence[str]) -> None:
    """Compose and check one job.

    Raises:
        VoiceAEError: for a wrong config, or a store, checkpoint or model that is not there.
    """
    from voiceae.training.settings import Settings, compose

    Settings.read(compose(list(arguments))).check_files()


def train(config: Any) -> None:
    """Run one job: check the config, then import what is heavy."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    from voiceae.hardware import require_matching_torchaudio
    from voiceae.training.settings import Settings, one_line, resolved

    try:
        values = resolved(config)
        # Jobs of a sweep share `out`, so each gets the folder that Hydra made for it.
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            values["out"] = HydraConfig.get().runtime.output_dir
        settings = Settings.read(values)
        settings.check_files()
        require_matching_torchaudio()
        from voiceae.training.run import fit

        with log_to_stderr():
            ended_by = fit(settings).ended_by
    except VoiceAEError as error:
        raise Refused(error) from error
    except OmegaConfBaseException as error:
        raise Refused(ConfigError(one_line(error))) from error
    if ended_by == signal.SIGINT:
        raise KeyboardInterrupt
    if ended_by is not None:  # all is saved by now
        raise Terminated(ended_by)


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """A block in which the training's log goes to standard error."""
    log, handler = logging.getLogger("voiceae.training"), LogToStderr()
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


@contextmanager
def hydra_raises() -> Iterator[None]:
    """A block in which Hydra raises its errors instead of printing them and exiting."""
    # The variable is the only switch that Hydra has for it.
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR") if before is None else os.environ.update(HYDRA_FULL_ERROR=before)
